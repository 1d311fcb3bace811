#!/usr/bin/env -S node --max-semi-space-size=64
// Loam is written in TypeScript and run as it is: this file only teaches Node to read it.
// The option gives short-lived objects more room: publishes on their way to the queue outlive the usual 16 MB, and copying them was
// the largest single cost of the broker. It is also where `npm start` and the Dockerfile call this file.
import { register } from 'tsx/esm/api';

register();
const { main } = await import('./main.ts');
await main(process.argv);
