import { parseArgs } from 'node:util';
import { explain } from '../../core/errors.ts';
import { caseOf } from './cases.ts';
import { tryCase } from './measure.ts';
import { line } from './outcome.ts';
import { fuzz } from './run.ts';

/**
 * `npm run fuzz`: hostile input for everything that reads what others wrote. It ends by itself, and with code 1 when a case took longer than its
 * size allows, threw, or made something of its input that must not be.
 */

const HELP = `npm run fuzz -- [options]
  --cases N   how many inputs are tried; 100000 when not said
  --seed N    the same seed tries the same inputs; another each time when not said
  --case N    one input again, by the number that a run gave it; shows how it begins
`;

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
    case: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const SHOWN = 2_000;
const say = (text: string) => void process.stdout.write(`${text}\n`);

function one(seed: number): number {
  const { shown } = caseOf(seed);
  say(shown.length > SHOWN ? `${shown.slice(0, SHOWN)}… (${shown.length} characters)` : shown);
  const { measured, what } = tryCase(seed);
  say(`\n${line(measured)}\n${what ?? 'nothing is wrong with it'}`);
  return what === undefined ? 0 : 1;
}

async function many(cases: number, seed: number): Promise<number> {
  const begun = performance.now();
  const seconds = () => ((performance.now() - begun) / 1_000).toFixed(0);
  let shown = 0;
  const { payloads, taken, broken, slowest, nearest } = await fuzz({ seed, cases }, (ended) => {
    if (ended < shown + cases / 20) return;
    shown = ended;
    say(`${ended} of ${cases} after ${seconds()} s`);
  });
  say(
    `\n${cases} inputs with the seed ${seed} in ${seconds()} s; of ${taken} of ${payloads} payloads readings were taken`,
  );
  say('\nSlowest:');
  for (const found of slowest) say(`  ${line(found)}`);
  say('\nNearest to what their size allows:');
  for (const found of nearest) say(`  ${line(found)}`);
  for (const { reader, bytes, what, seed: of } of broken)
    say(`\nWRONG: ${bytes} bytes for ${reader}, --case ${of}\n  ${what}`);
  if (broken.length === 0) say('\nNone was too slow, none threw, and nothing was made of them that must not be.');
  return broken.length === 0 ? 0 : 1;
}

try {
  if (values.help) process.stdout.write(HELP);
  else if (values.case !== undefined) process.exitCode = one(Number(values.case));
  else process.exitCode = await many(Number(values.cases), Number(values.seed));
} catch (error) {
  say(explain(error));
  process.exitCode = 1;
}
