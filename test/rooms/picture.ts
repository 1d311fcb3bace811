import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** The folders that make up Loam's programs. Tests, benchmarks and documentation import whatever they like and are left out. */
export const ROOMS = [
  ...['core', 'telemetry', 'backbone', 'broker', 'workers', 'dashboard-gateway', 'dashboard', 'client', 'simulators'],
  ...['roles', 'cli'],
] as const;

/** Roles may import the first two of these and never the last: so the picture keeps them apart. */
const PARTS_OF_BACKBONE: Readonly<Record<string, string>> = {
  ports: 'backbone/ports',
  account: 'backbone/account, commands, dead-letters, events',
  commands: 'backbone/account, commands, dead-letters, events',
  'dead-letters': 'backbone/account, commands, dead-letters, events',
  events: 'backbone/account, commands, dead-letters, events',
};
const ADAPTERS = 'backbone/open.ts, adapters';

const IMPORT = /(?:\bfrom |\bimport\(|^import |new URL\()'(\.[^']+)'/gm;

/** Every source file of the programs, relative to the project's root, which is the working directory. */
export function sources(): string[] {
  return ROOMS.flatMap((room) =>
    readdirSync(room, { recursive: true, encoding: 'utf8' })
      .map((path) => `${room}/${path}`)
      .filter((path) => /\.tsx?$/.test(path) && !/\/(dist|node_modules)\//.test(path)),
  );
}

/** The rooms and who imports whom, as the text of a Mermaid diagram. An arrow that follows from two others is left out. */
export function drawRooms(): string {
  const imports = importsBetweenRooms();
  const rooms = [...new Set([...imports.keys(), ...[...imports.values()].flatMap((seen) => [...seen])])].sort();
  const nodes = rooms.map((room, i) => `  r${i}["${room}"]`);
  const arrows = rooms.flatMap((from, i) =>
    rooms.flatMap((to, k) => (isDrawn(from, to, imports) ? [`  r${i} --> r${k}`] : [])),
  );
  return ['```mermaid', 'flowchart TD', ...nodes, ...arrows, '```'].join('\n');
}

type Imports = ReadonlyMap<string, ReadonlySet<string>>;

function importsBetweenRooms(): Imports {
  const found = new Map<string, Set<string>>();
  for (const path of sources()) {
    const from = roomOf(path);
    for (const [, target = ''] of readFileSync(path, 'utf8').matchAll(IMPORT)) {
      const to = roomOf(normalize(join(dirname(path), target)));
      if (to === undefined || from === undefined || to === from) continue;
      found.set(from, (found.get(from) ?? new Set()).add(to));
    }
  }
  return found;
}

function roomOf(path: string): string | undefined {
  const [top = '', next = ''] = path.split('/');
  if (!ROOMS.some((room) => room === top)) return undefined;
  return top === 'backbone' ? (PARTS_OF_BACKBONE[next] ?? ADAPTERS) : top;
}

function isDrawn(from: string, to: string, imports: Imports): boolean {
  const direct = imports.get(from);
  if (!direct?.has(to)) return false;
  return ![...direct].some((between) => between !== to && reaches(between, to, imports));
}

function reaches(from: string, to: string, imports: Imports, seen = new Set<string>()): boolean {
  if (from === to) return true;
  if (seen.has(from)) return false;
  seen.add(from);
  return [...(imports.get(from) ?? [])].some((next) => reaches(next, to, imports, seen));
}

/** The page that shows the picture, between two marks. */
export const PAGE = 'docs/architecture.md';
const MARKED = /(<!-- rooms -->\n)[\s\S]*?(<!-- \/rooms -->)/;

/** The text of `page` with the picture of now. */
export function withRooms(page: string): string {
  return page.replace(MARKED, (_, begin: string, end: string) => `${begin}\n${drawRooms()}\n\n${end}`);
}
