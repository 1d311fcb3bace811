import { readFileSync } from 'node:fs';
import { sources } from '../rooms/picture.ts';
import { type Fault, patternsIn } from './find.ts';
import { slowness } from './judge.ts';

// Every regular expression of Loam's programs takes time that is linear in the text that it is tried on, whatever the text. Ends with code 1, and
// names the places, when one may take more, or is made of something that only the running program knows.

const begun = performance.now();
const found = ['cli/bin.js', ...sources()].map((path) => patternsIn(path, readFileSync(path, 'utf8')));
const patterns = found.flatMap((one) => one.patterns);
const judged = new Map<string, string | undefined>();
const faults: Fault[] = found.flatMap((one) => one.faults);
for (const { path, line, source, flags } of patterns) {
  const literal = `/${source}/${flags}`;
  if (!judged.has(literal)) judged.set(literal, slowness({ source, flags }));
  const slow = judged.get(literal);
  if (slow !== undefined) faults.push({ path, line, what: `${literal}: ${slow}` });
}
for (const { path, line, what } of faults) console.error(`${path}:${line}: ${what}`);
const seconds = ((performance.now() - begun) / 1_000).toFixed(1);
console.log(`${patterns.length} regular expressions are looked at, in ${seconds} s; ${faults.length} may be slow`);
if (faults.length > 0) process.exitCode = 1;
