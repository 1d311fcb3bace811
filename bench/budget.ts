import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';

const WEB = fileURLToPath(new URL('../dashboard', import.meta.url));
/** What the first page may weigh, compressed: the document, and every script and style sheet that it asks for at once. */
const BUDGET = 150_000;
/** And so many files at most: each waits for the line once more than its bytes do. */
const FILES = 8;
/** A view that is opened later may weigh this much on top. */
const VIEW_BUDGET = 60_000;

/** Builds the browser app and weighs what its first page loads. Ends with code 1 when that is too much. */
async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'loam-budget-'));
  try {
    await build({
      configFile: join(WEB, 'vite.config.ts'),
      logLevel: 'error',
      build: { manifest: true, outDir: folder, emptyOutDir: true },
    });
    await check(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function check(folder: string): Promise<void> {
  const manifest: Manifest = JSON.parse(await readFile(join(folder, '.vite', 'manifest.json'), 'utf8'));
  const first = new Set(['index.html', ...filesOf(manifest, 'index.html')]);
  const firstBytes = await weigh(folder, first);
  let heaviest = { name: '', bytes: 0 };
  for (const [name, chunk] of Object.entries(manifest)) {
    if (!chunk.isDynamicEntry) continue;
    const bytes = await weigh(
      folder,
      [...filesOf(manifest, name)].filter((file) => !first.has(file)),
    );
    if (bytes > heaviest.bytes) heaviest = { name, bytes };
  }
  const kB = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`;
  process.stdout.write(
    `First load ${kB(firstBytes)} compressed (at most ${kB(BUDGET)}) in ${first.size} files (at most ${FILES}); `,
  );
  process.stdout.write(`the heaviest view adds ${kB(heaviest.bytes)} (at most ${kB(VIEW_BUDGET)}): ${heaviest.name}\n`);
  if (firstBytes > BUDGET || first.size > FILES || heaviest.bytes > VIEW_BUDGET) process.exitCode = 1;
}

interface Chunk {
  readonly file: string;
  readonly css?: readonly string[];
  readonly imports?: readonly string[];
  readonly isDynamicEntry?: boolean;
}

type Manifest = Readonly<Record<string, Chunk>>;

/** Everything that comes with a chunk: itself, its styles, and what it imports. */
function filesOf(manifest: Manifest, name: string, found = new Set<string>()): Set<string> {
  const chunk = manifest[name];
  if (chunk === undefined || found.has(chunk.file)) return found;
  found.add(chunk.file);
  for (const sheet of chunk.css ?? []) found.add(sheet);
  for (const other of chunk.imports ?? []) filesOf(manifest, other, found);
  return found;
}

async function weigh(folder: string, files: Iterable<string>): Promise<number> {
  let bytes = 0;
  for (const file of files) bytes += gzipSync(await readFile(join(folder, file)), { level: 9 }).length;
  return bytes;
}

await main();
