import { z } from 'zod';
import { ApiRefused, ConfigInvalid } from '../core/errors.ts';
import { Api } from './api.ts';
import { type Options, settingsOf, text } from './options.ts';
import { print, printError, printRow } from './output.ts';

const farms = z.object({ farms: z.array(z.object({ id: z.string(), role: z.string() })) });
const letter = z.object({
  offset: z.number(),
  at: z.number(),
  received: z.number(),
  sensor: z.string(),
  topic: z.string(),
  reason: z.string(),
  explanation: z.string(),
  state: z.string(),
  settled: z.object({ at: z.number(), by: z.string() }).optional(),
  size: z.number(),
  payload: z.string(),
  encoding: z.enum(['text', 'hex']),
});
const page = z.object({
  letters: z.array(letter),
  next: z.number().nullable(),
  counts: z.object({ open: z.number(), replayed: z.number(), discarded: z.number() }),
  log: z.object({ warning: z.string().nullable() }),
});
type ListedLetter = z.infer<typeof letter>;

/** Most letters that one `replay --all` or `discard --all` takes. */
const MOST = 1_000_000;
const PAGE = 200;

/**
 * `loam dead list`: a line per letter, newest first per farm: offset, time, farm, sensor, reason, state, explanation.
 */
export async function listDead(options: Options): Promise<void> {
  const api = await Api.open(settingsOf(options));
  let shown = 0;
  const limit = Number(text(options, 'limit') ?? 50);
  if (!Number.isInteger(limit) || limit < 1) {
    throw new ConfigInvalid('--limit', `--limit: got ${text(options, 'limit')}, allowed: a whole number from 1 on`);
  }
  const warnings = new Set<string>();
  const places = await placesOf(api, options);
  if (text(options, 'farm') === undefined && options.nobodys !== true) places.push(WITHOUT_FARM);
  for (const place of places) {
    for await (const { letters, log } of pagesOf(api, place, options, limit)) {
      if (log.warning !== null) warnings.add(log.warning);
      for (const one of letters) {
        const columns = [
          one.offset,
          iso(one.at),
          place.name,
          one.sensor || '-',
          one.reason,
          one.state,
          one.explanation,
        ];
        printRow(columns);
        shown++;
      }
    }
  }
  if (shown === 0) print('No dead letters: everything that came in could be read.\n');
  for (const warning of warnings) printError(`${warning}\n`);
}

/** `loam dead show`: one letter with everything that is known of it, its payload last. */
export async function showDead(offset: string, options: Options): Promise<void> {
  const api = await Api.open(settingsOf(options));
  const place = await onePlace(api, options);
  const one = await api.call(`${place.path}/${encodeURIComponent(offset)}`, letter);
  const settled = one.settled ? ` by ${one.settled.by}, ${iso(one.settled.at)}` : '';
  const lines = [
    ['letter', String(one.offset)],
    ['state', `${one.state}${settled}`],
    ['sensor', one.sensor || '(nobody’s)'],
    ['topic', one.topic || '(a queue message)'],
    ['received', iso(one.received)],
    ['set aside', iso(one.at)],
    ['reason', one.reason],
    ['because', one.explanation],
    ['payload', `${one.size} bytes${one.encoding === 'hex' ? ', in hexadecimal' : ''}:`],
  ];
  for (const [name, value] of lines) print(`${String(name).padEnd(10)}${value}\n`);
  print(`${one.payload}\n`);
}

/** `loam dead replay`: puts letters back into the queue: those named, or with --all every open one that fits. */
export async function replayDead(offsets: readonly string[], options: Options): Promise<void> {
  await actOn(offsets, options, 'replay', 'replayed; what still cannot be read comes back: loam dead list');
}

/** `loam dead discard`: takes letters from the list of open ones. */
export async function discardDead(offsets: readonly string[], options: Options): Promise<void> {
  await actOn(offsets, options, 'discard', 'discarded');
}

async function actOn(
  offsets: readonly string[],
  options: Options,
  act: 'replay' | 'discard',
  done: string,
): Promise<void> {
  const wantsAll = options.all === true;
  if (wantsAll === offsets.length > 0) {
    throw new ConfigInvalid('<offset>', 'give the letters’ numbers, or --all (with --sensor or --reason, if not all)');
  }
  const api = await Api.open(settingsOf(options));
  const place = await onePlace(api, options);
  let count = 0;
  const one = async (offset: string) => {
    await api.call(`${place.path}/${encodeURIComponent(offset)}/${act}`, letter, { method: 'POST' });
    count++;
  };
  try {
    if (!wantsAll) for (const offset of offsets) await one(offset);
    else {
      for await (const { letters } of pagesOf(api, place, { ...options, state: 'open' }, MOST)) {
        for (const { offset } of letters) await one(String(offset)).catch(sayConflict);
      }
    }
  } finally {
    print(`${count} ${count === 1 ? 'letter' : 'letters'} ${done}\n`);
  }
}

/** With --all, a letter that cannot be replayed or that somebody else settled first does not hold up the others. */
function sayConflict(error: unknown): void {
  if (!(error instanceof ApiRefused) || error.problem !== 'conflict') throw error;
  printError(`${error.message}\n`);
}

interface LetterPlace {
  readonly name: string;
  readonly path: string;
}

const WITHOUT_FARM: LetterPlace = { name: '-', path: '/api/dead-letters' };

function ofFarm(id: string): LetterPlace {
  return { name: id, path: `/api/farms/${encodeURIComponent(id)}/dead-letters` };
}

/**
 * The places to look for letters in: with --nobodys that of no farm, with --farm that farm, else every farm that the
 * token is admin of.
 */
async function placesOf(api: Api, options: Options): Promise<LetterPlace[]> {
  if (options.nobodys === true) return [WITHOUT_FARM];
  const given = text(options, 'farm');
  if (given !== undefined) return [ofFarm(given)];
  const all = (await api.call('/api/farms', farms)).farms;
  return all.filter(({ role }) => role === 'admin').map(({ id }) => ofFarm(id));
}

/**
 * The place of a letter that is named by its offset. Rejects with ConfigInvalid when there are several farms: the
 * offset does not say which of them its letter belongs to.
 */
async function onePlace(api: Api, options: Options): Promise<LetterPlace> {
  const [place, ...more] = await placesOf(api, options);
  if (place && more.length === 0) return place;
  throw new ConfigInvalid('--farm', '--farm: whose letter? Name its farm, or --nobodys');
}

async function* pagesOf(api: Api, { path }: LetterPlace, options: Options, most: number) {
  let before: number | undefined;
  for (let left = most; left > 0; ) {
    const query = new URLSearchParams({ limit: String(Math.min(left, PAGE)) });
    for (const name of ['state', 'sensor', 'reason']) {
      const value = text(options, name);
      if (value !== undefined) query.set(name, value);
    }
    if (before !== undefined) query.set('before', String(before));
    const found = await api.call(`${path}?${query}`, page);
    yield found;
    if (found.next === null) return;
    before = found.next;
    left -= found.letters.length;
  }
}

function iso(ms: ListedLetter['at']): string {
  return new Date(ms).toISOString();
}
