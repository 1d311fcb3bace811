import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

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
  'connections',
  'stored',
  'end-to-end',
  'latency',
  'fan-out',
  'history',
  'decode',
  'encoding',
  'dashboard',
  'generator',
  'open',
];
const VERSIONS = ['node', 'rabbitmq', 'mosquitto', 'influxdb', 'node-red', 'ws', 'aedes', 'lmdb', '@duckdb/node-api'];
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
  await writeFile(join(folder, `${name}.svg`), bars(measured));
  const heading = words.startsWith('## ') ? '' : `## ${name}\n\n`;
  return `${heading}${words}\n![${name}: ${measured.unit}](performance/${name}.svg)\n\n${table(measured)}\n${where(measured)}\n`;
}

function table({ unit, loam, peers, ratio, detail }: Measured): string {
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

function where({ machine, versions }: Measured): string {
  const parts = VERSIONS.flatMap((name) => (versions[name] ? [`${name} ${versions[name]}`] : []));
  const { cores, cpu, memoryGiB, platform } = machine;
  return `${cores} × ${cpu}, ${memoryGiB} GiB, ${platform}; ${parts.join(', ')}.`;
}

/** The figures as bars, with the spread as a line across the end of each. */
function bars({ bench, unit, loam, peers, detail }: Measured): string {
  const rows = Object.entries({ loam, ...peers });
  const most = Math.max(...rows.map(([name, figure]) => Number(detail[name]?.highest ?? figure)), 1e-9);
  const x = (value: number) => (160 + (value / most) * 520).toFixed(1);
  const drawn = rows.map(([name, figure], i) => {
    const y = 34 + i * 34;
    const { lowest, highest } = detail[name] ?? {};
    const spread =
      typeof lowest === 'number' && typeof highest === 'number'
        ? `<line x1="${x(lowest)}" x2="${x(highest)}" y1="${y + 10}" y2="${y + 10}" stroke="#26221c" stroke-width="1.5"/>`
        : '';
    const width = (Number(x(figure)) - 160).toFixed(1);
    return `<text x="150" y="${y + 15}" text-anchor="end">${name}</text><rect x="160" y="${y}" width="${width}" height="20" fill="${i === 0 ? '#2f7d4f' : '#c9bfae'}"/>${spread}<text x="740" y="${y + 15}" text-anchor="end">${short(figure)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 ${44 + rows.length * 34}" font-family="system-ui,sans-serif" font-size="13" fill="#26221c"><title>${bench}: ${unit}</title><rect width="100%" height="100%" fill="#faf8f4"/><text x="160" y="20">${unit}</text>${drawn.join('')}</svg>\n`;
}

function short(value: number): string {
  return Math.abs(value) >= 1_000 ? Math.round(value).toLocaleString('en') : `${Number(value.toPrecision(3))}`;
}
