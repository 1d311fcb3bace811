import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { bars, curves, short } from './plots.ts';

/**
 * `npm run bench:page`: writes docs/performance.md, and a picture for each benchmark, from what is in docs/performance/: `NAME.json`, the last line
 * of `npm run bench -- NAME --json`, and `NAME.md`, what a person says of it.
 */
const folder = fileURLToPath(new URL('../docs/performance/', import.meta.url));

const outcome = z.object({
  bench: z.string(),
  unit: z.string(),
  loam: z.number(),
  peers: z.record(z.string(), z.number()),
  ratio: z.record(z.string(), z.number()),
  detail: z.record(z.string(), z.record(z.string(), z.union([z.string(), z.number()]))),
  machine: z.object({ cpu: z.string(), cores: z.number(), memoryGiB: z.number(), platform: z.string() }),
  versions: z.record(z.string(), z.string()),
});
type Measured = z.infer<typeof outcome>;

const ORDER = [
  'ingest',
  'ingest-embedded',
  'connections',
  'stored',
  'end-to-end',
  'latency',
  'fan-out',
  'history',
  'decode',
  'encoding',
  'dashboard',
  'share',
  'scaling',
  'generator',
  'open',
];
const VERSIONS = ['node', 'rabbitmq', 'mosquitto', 'influxdb', 'node-red', 'ws', 'aedes', '@duckdb/node-api'];
const HEAD = `# What Loam carries, and what others carry beside it

Every figure is the median of several runs that took turns with the peers' runs, on the machine that is named with it, with the load generator on the same cores.
Machines differ and are noisy: what holds elsewhere are the ratios, not the figures. A ratio above 1 means that Loam is better. Take them yourself with
\`npm run bench -- NAME\`; \`npm run bench:page\` writes this page from the outcomes in \`docs/performance/\`.
`;

const files = await readdir(folder);
const names = [...new Set(files.filter((file) => /\.(json|md)$/.test(file)).map((file) => file.replace(/\.\w+$/, '')))];
const sections: string[] = [];
for (const name of names.sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b))) sections.push(await section(name));
await writeFile(join(folder, '..', 'performance.md'), `${[HEAD, ...sections].join('\n').trimEnd()}\n`);

async function section(name: string): Promise<string> {
  const words = files.includes(`${name}.md`) ? `${(await readFile(join(folder, `${name}.md`), 'utf8')).trim()}\n` : '';
  if (!files.includes(`${name}.json`)) return words;
  const measured = outcome.parse(JSON.parse(await readFile(join(folder, `${name}.json`), 'utf8')));
  await writeFile(join(folder, `${name}.svg`), name === 'scaling' ? curves(measured) : bars(measured));
  const heading = words.startsWith('## ') ? '' : `## ${name}\n\n`;
  return `${heading}${words}\n![${name}: ${measured.unit}](performance/${name}.svg)\n\n${table(measured)}\n${where(measured)}\n`;
}

/** The figures beside the peers'; where there is no peer, every row of `detail`. */
function table({ unit, loam, peers, ratio, detail }: Measured): string {
  if (Object.keys(peers).length === 0) return detailTable(detail);
  const rows = Object.entries({ loam, ...peers }).map(([name, figure]) => {
    const { lowest, highest, runs } = detail[name] ?? {};
    const spread =
      typeof lowest === 'number' && typeof highest === 'number' ? `${short(lowest)} to ${short(highest)}` : '';
    return `| ${name} | ${short(figure)} | ${spread} | ${runs ?? ''} | ${ratio[name]?.toFixed(2) ?? ''} |`;
  });
  return [`| | ${unit} | spread | runs | Loam is better by |`, '| --- | --- | --- | --- | --- |', ...rows, ''].join(
    '\n',
  );
}

function detailTable({ load: _, ...detail }: Measured['detail']): string {
  const columns = [...new Set(Object.values(detail).flatMap((figures) => Object.keys(figures)))];
  const shown = (figure: string | number | undefined) => (typeof figure === 'number' ? short(figure) : (figure ?? ''));
  const rows = Object.entries(detail).map(
    ([name, figures]) => `| ${[name, ...columns.map((column) => shown(figures[column]))].join(' | ')} |`,
  );
  return [`| | ${columns.join(' | ')} |`, `|${' --- |'.repeat(columns.length + 1)}`, ...rows, ''].join('\n');
}

function where({ machine, versions }: Measured): string {
  const parts = VERSIONS.flatMap((name) => (versions[name] ? [`${name} ${versions[name]}`] : []));
  const { cores, cpu, memoryGiB, platform } = machine;
  return `${cores} × ${cpu}, ${memoryGiB} GiB, ${platform}; ${parts.join(', ')}.`;
}
