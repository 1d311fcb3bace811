// Draws the rooms anew into docs/architecture.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { PAGE, withRooms } from './picture.ts';

writeFileSync(PAGE, withRooms(readFileSync(PAGE, 'utf8')));
