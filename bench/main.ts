import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { explain } from '../core/errors.ts';
import { endAll } from '../test/services/cleanup.ts';
import { connections } from './connections.ts';
import { dashboard } from './dashboard.ts';
import { decode } from './decode.ts';
import { durable } from './durable.ts';
import { encoding } from './encoding.ts';
import { endToEnd } from './end-to-end.ts';
import { fanOut } from './fan-out.ts';
import { generator } from './generator.ts';
import { history } from './history.ts';
import { ingest } from './ingest.ts';
import { ingestEmbedded } from './ingest-embedded.ts';
import { latency } from './latency.ts';
import { type Benchmark, machine, type Outcome, show } from './outcome.ts';
import { scaling } from './scaling.ts';
import { share } from './share.ts';

/**
 * `npm run bench -- NAME [--quick] [--json]`. With `--json` the last line of standard output is the outcome as one object.
 * Exits 2 when the command line is wrong, 1 when the benchmark fails.
 */
const benches: readonly Benchmark[] = [
  ingest,
  ingestEmbedded,
  endToEnd,
  latency,
  fanOut,
  history,
  connections,
  decode,
  durable,
  encoding,
  dashboard,
  generator,
  share,
  scaling,
];
const benchmarks = new Map(benches.map((benchmark) => [benchmark.name, benchmark]));

const given = readArguments();
const benchmark = benchmarks.get(given?.name ?? '');
if (!given || !benchmark) {
  const list = [...benchmarks.values()].map(({ name, about }) => `  ${name.padEnd(17)}${about}`);
  console.error(['usage: npm run bench -- NAME [--quick] [--json]', '', ...list].join('\n'));
  process.exitCode = 2;
} else {
  try {
    print(await benchmark.run({ quick: given.quick, say: (progress) => console.error(progress) }), given.json);
  } catch (error) {
    console.error(`${benchmark.name}: ${explain(error)}`);
    process.exitCode = 1;
  } finally {
    await endAll();
  }
}

function print(outcome: Outcome, asJson: boolean): void {
  const all = { ...versions(), ...outcome.versions };
  if (asJson) console.log(JSON.stringify({ ...outcome, machine: machine(), versions: all }));
  else show(outcome, all);
}

function readArguments(): { name: string; quick: boolean; json: boolean } | undefined {
  try {
    const options = { quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } } as const;
    const { positionals, values } = parseArgs({ options, allowPositionals: true });
    const [name, ...rest] = positionals;
    return name === undefined || rest.length > 0 ? undefined : { name, ...values };
  } catch {
    return undefined;
  }
}

function versions(): Record<string, string> {
  const { version, dependencies }: { version: string; dependencies: Record<string, string> } = createRequire(
    import.meta.url,
  )('../package.json');
  return { loam: version, node: process.version, ...dependencies };
}
