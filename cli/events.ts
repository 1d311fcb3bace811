import { z } from 'zod';
import { clock } from '../core/clock.ts';
import { ConfigInvalid } from '../core/errors.ts';
import { REFUSAL_KINDS } from '../telemetry/noted.ts';
import { Api } from './api.ts';
import { since } from './audit.ts';
import { type Options, settingsOf, text } from './options.ts';
import { print, printRow } from './output.ts';

const word = z.string().nullable();
const listed = z.looseObject({
  at: z.number(),
  kind: z.string(),
  who: word,
  from: word,
  farm: word,
  sensor: word,
  why: word,
  what: word,
  count: z.number(),
  values: z.object({ metric: z.string(), ts: z.number(), old: z.number(), new: z.number() }).optional(),
  change: z.object({ thing: z.string(), id: z.string(), keys: z.unknown() }).optional(),
});
const page = z.object({ events: z.array(listed), next: z.string().nullable() });
type ListedEvent = z.infer<typeof listed>;

const PAGE = 200;

/** `loam events`: a line an event, newest first: time, kind, whose, who, from where, why, what. */
export async function eventsCommand(options: Options): Promise<void> {
  const limit = Number(text(options, 'limit') ?? 50);
  if (!Number.isInteger(limit) || limit < 1) {
    throw new ConfigInvalid('--limit', `--limit: got ${text(options, 'limit')}, allowed: a whole number from 1 on`);
  }
  const query = queryOf(options);
  const api = await Api.open(settingsOf(options));
  const farm = text(options, 'farm');
  const path = farm === undefined ? '/api/events' : `/api/farms/${encodeURIComponent(farm)}/events`;
  let left = limit;
  for (let before: string | null = ''; before !== null && left > 0; ) {
    query.set('limit', String(Math.min(left, PAGE)));
    if (before !== '') query.set('before', before);
    const found: z.infer<typeof page> = await api.call(`${path}?${query}`, page);
    for (const event of found.events) {
      if (options.json === true) print(`${JSON.stringify(event)}\n`);
      else printRow(cellsOf(event));
    }
    left -= found.events.length;
    before = found.next;
  }
  if (left === limit && options.json !== true) print('No events.\n');
}

function queryOf(options: Options): URLSearchParams {
  const query = new URLSearchParams();
  const kind = text(options, 'kind');
  if (kind !== undefined) query.set('kind', kind === 'refused' ? REFUSAL_KINDS.join(',') : kind);
  const wanted = text(options, 'text');
  if (wanted !== undefined) query.set('text', wanted);
  const from = text(options, 'since');
  if (from !== undefined) query.set('since', String(Math.max(0, Math.floor(since(from, clock.now())))));
  return query;
}

function cellsOf(event: ListedEvent): string[] {
  const { at, kind, farm, sensor, who, from, why, count } = event;
  const whose = farm === null ? '-' : `${farm}${sensor === null ? '' : `/${sensor}`}`;
  const times = count > 1 ? ` ×${count}` : '';
  return [new Date(at).toISOString(), `${kind}${times}`, whose, who ?? '-', from ?? '-', why ?? '-', whatOf(event)];
}

function whatOf({ what, values, change }: ListedEvent): string {
  if (values) return `${values.metric} at ${new Date(values.ts).toISOString()}: ${values.old} → ${values.new}`;
  if (change) return `${change.thing} ${change.id}: ${JSON.stringify(change.keys)}`;
  return what ?? '';
}
