import { z } from 'zod';
import { clock } from '../core/clock.ts';
import { ApiRefused, ConfigInvalid } from '../core/errors.ts';
import { clockWords } from '../telemetry/clock-words.ts';
import { clockPolicy } from '../telemetry/reading-rules-schema.ts';
import { refusalWords } from '../telemetry/refusal-words.ts';
import { Api } from './api.ts';
import { type Options, settingsOf } from './options.ts';
import { print } from './output.ts';
import { showThing } from './things.ts';

const finding = z.object({
  is: z.enum(['right', 'ahead', 'behind', 'jumps-back', 'wanders']),
  byMs: z.number().optional(),
  propose: clockPolicy.optional(),
});
const sensors = z.object({
  sensors: z.array(
    z.object({
      id: z.string(),
      state: z.string(),
      since: z.number(),
      lastSeen: z.number().nullable(),
      refused: z.number(),
      clockFinding: finding.optional(),
    }),
  ),
});
const refusal = z.object({
  at: z.number(),
  from: z.string().nullable(),
  why: z.string().nullable(),
  what: z.string().nullable(),
  count: z.number(),
});
const refusals = z.object({
  sensors: z.array(
    z.object({ sensor: z.string(), refused: refusal.nullable(), certain: z.boolean(), takenOver: refusal.nullable() }),
  ),
});
type Found = z.infer<typeof finding>;
type SeenSensor = z.infer<typeof sensors>['sensors'][number];
type RefusedOf = z.infer<typeof refusals>['sensors'][number];

/**
 * `loam sensor show`: what the registry has, and what a running Loam knows: when it was heard last, whether it was refused and
 * why, and what its clock is like.
 */
export async function showSensor(id: string, options: Options): Promise<void> {
  const whole = await showThing('sensor', id, options);
  const farm = whole.slice(0, whole.indexOf('/'));
  const found = await known(farm, id, options);
  const lines = typeof found === 'string' ? [`how it is now is not known: ${found}`] : linesAbout(found, farm, id);
  for (const line of lines) print(`# ${line}\n`);
}

interface KnownOfSensor {
  readonly seen: SeenSensor | undefined;
  readonly refused: RefusedOf | undefined;
}

/** What is known of the sensor, or why nothing is. The registry alone can be shown while no Loam is running. */
async function known(farm: string, id: string, options: Options): Promise<KnownOfSensor | string> {
  try {
    const api = await Api.open(settingsOf(options));
    const path = `/api/farms/${encodeURIComponent(farm)}`;
    const [all, refusedOnes] = [
      await api.call(`${path}/sensors`, sensors),
      await api.call(`${path}/refusals`, refusals),
    ];
    const seen = all.sensors.find((one) => one.id === id);
    return { seen, refused: refusedOnes.sensors.find(({ sensor }) => sensor === id) };
  } catch (error) {
    if (error instanceof ConfigInvalid || error instanceof ApiRefused) return error.message;
    throw error;
  }
}

function linesAbout({ seen, refused }: KnownOfSensor, farm: string, id: string): string[] {
  const clockLines = seen?.clockFinding
    ? linesOf(seen.clockFinding, farm, id)
    : ['its clock is not known: it has told no time lately'];
  return [...stateLines(seen), ...(refused ? refusedLines(id, refused, seen?.lastSeen ?? 0) : []), ...clockLines];
}

function stateLines(seen: SeenSensor | undefined): string[] {
  if (seen === undefined) return [];
  const { state, lastSeen, refused } = seen;
  const heard = lastSeen === null ? 'it never reported' : `${state}, last heard ${ago(lastSeen)}`;
  const letters = `${refused} of its messages could not be taken: loam dead list`;
  return refused > 0 ? [heard, letters] : [heard];
}

function refusedLines(id: string, { refused, certain, takenOver }: RefusedOf, lastSeen: number): string[] {
  const lines: string[] = [];
  if (refused) {
    const { words, remedy } = refusalWords(refused.why ?? '');
    const whose = certain ? '' : ' (by a name that another farm’s sensor may have too)';
    lines.push(`${id}: refused ${ago(refused.at)} from ${refused.from ?? 'an unknown address'}, ${words}${whose}`);
    if (refused.what !== null) lines.push(`  ${refused.what}`);
    if (refused.at > lastSeen && remedy !== '') lines.push(`  ${remedy}`);
  }
  if (takenOver)
    lines.push(
      `${id}: a connection was taken over ${ago(takenOver.at)}, by the same client id (${takenOver.what ?? ''})`,
    );
  return lines;
}

function ago(at: number): string {
  const minutes = Math.floor((clock.now() - at) / 60_000);
  if (minutes < 1) return 'just now';
  if (minutes < 120) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ago` : `${Math.floor(hours / 24)} days ago`;
}

function linesOf({ is, byMs = 0, propose }: Found, farm: string, id: string): string[] {
  const words = clockWords(is, byMs);
  if (propose === undefined) return [words];
  const change = `loam sensor change ${id} --farm ${farm} --clock ${typeof propose === 'object' ? wordOf(propose.offset) : propose}`;
  const ask = typeof propose === 'object' ? 'correct by that?' : 'date its readings by their receipt?';
  return [`${words}: ${ask}  ${change}`];
}

function wordOf(offset: number): string {
  return offset < 0 ? `ahead=${-offset}` : `behind=${offset}`;
}
