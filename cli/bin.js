#!/usr/bin/env node
// Loam is written in TypeScript and run as it is: this file only teaches Node to read it.
import { register } from 'tsx/esm/api';

register();
const { main } = await import('./main.ts');
await main(process.argv);
