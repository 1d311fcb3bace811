import { readFileSync } from 'node:fs';
import { sources } from '../rooms/picture.ts';
import { type Fault, patternsIn } from './find.ts';
import { slowness } from './judge.ts';
import { timesAskedIn } from './times.ts';

// Every regular expression of Loam's programs takes time that is linear in the text that it is tried on, whatever the text. And nobody but the one
// clock asks for the time. Ends with code 1, and names the places, when a regular expression may take more, or is made of something that only the
// running program knows, or when the time is asked for.

const begun = performance.now();
const texts = ['cli/bin.js', ...sources()].map((path) => [path, readFileSync(path, 'utf8')] as const);
const found = texts.map(([path, text]) => patternsIn(path, text));
const patterns = found.flatMap((one) => one.patterns);
const judged = new Map<string, string | undefined>();
const faults: Fault[] = found.flatMap((one) => one.faults);
for (const { path, line, source, flags } of patterns) {
  const literal = `/${source}/${flags}`;
  if (!judged.has(literal)) judged.set(literal, slowness({ source, flags }));
  const slow = judged.get(literal);
  if (slow !== undefined) faults.push({ path, line, what: `${literal}: ${slow}` });
}
const asked = texts.flatMap(([path, text]) => timesAskedIn(path, text));
for (const { path, line, what } of [...faults, ...asked]) console.error(`${path}:${line}: ${what}`);
const seconds = ((performance.now() - begun) / 1_000).toFixed(1);
console.log(`${patterns.length} regular expressions are looked at, in ${seconds} s; ${faults.length} may be slow`);
if (asked.length > 0) console.log(`the time is asked for in ${asked.length} places`);
if (faults.length + asked.length > 0) process.exitCode = 1;
