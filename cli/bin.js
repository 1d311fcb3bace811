#!/usr/bin/env -S node --max-semi-space-size=64
// The option gives short-lived objects more room: publishes on their way to the queue outlive the usual 16 MB, and copying them was
// the largest single cost of the broker. It is also where `npm start` and the Dockerfile call this file.
import '../core/typescript.js';

const { main } = await import('./main.ts');
await main(process.argv);
