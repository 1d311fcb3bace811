#!/usr/bin/env -S node --max-semi-space-size=64
// The option gives short-lived objects more room: publishes on their way to the queue outlive the usual 16 MB, and
// copying them was the largest single cost of the broker. `npm start` and the Dockerfile call this file with the same
// option.
import { existsSync } from 'node:fs';

const built = new URL('../dist/cli/main.js', import.meta.url);
if (!existsSync(built)) {
  console.error('loam: it has not been built yet: npm run build');
  process.exit(1);
}
const { main } = await import(built.href);
await main(process.argv);
