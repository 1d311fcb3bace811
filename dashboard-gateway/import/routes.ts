import { z } from 'zod';
import type { BatchEntrance } from '../../backbone/account/batch-entrance.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { type Batch, batchId, encodeBatch } from '../../telemetry/batch.ts';
import { encodeImported } from '../../telemetry/imported.ts';
import type { RegistryView } from '../../telemetry/registry/registry.ts';
import { Rulebook } from '../../telemetry/sensor-rules.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';
import { isUnit } from '../../telemetry/units.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import { parseBody } from '../http/parse.ts';
import { HttpProblem, retryLater } from '../http/problem.ts';
import { id } from '../http/query.ts';
import { json } from '../http/reply.ts';
import type { Route } from '../http/router.ts';
import { sharesOf, WorkLimit } from '../http/work-limit.ts';
import type { SignInSessions } from '../sign-in/sessions.ts';
import { signedIn, visibleFarm } from '../sign-in/signed-in.ts';
import { compareWithStore } from './comparison.ts';
import { readRows } from './rows.ts';

const MAX_IMPORT_BODY = 1024 ** 2;
export const MAX_IMPORT_ROWS = 5_000;
/** Readings in one publish. A queue message that must be split is split between its publishes. */
const ROWS_OF_A_PUBLISH = 500;
/** Readings that a preview shows. */
const MOST_PREVIEWED = 20;
/** With more messages than this in the queue, an import is refused as `busy`: what sensors send now goes first. */
const MOST_WAITING = 500;
/** Comparisons with the store under way at once, and those that wait for their turn; further imports are refused as `busy`. */
const COMPARING = { running: 4, runningOfOne: 3, waiting: 50 } as const;

const name = z.string().min(1).max(200);
const importBody = z.strictObject({
  sensor: id,
  units: z.record(name, z.string().refine(isUnit, 'not a unit that Loam knows')).default({}),
  rows: z
    .array(z.tuple([z.int().min(0), z.number(), z.record(name, z.number())]))
    .min(1)
    .max(MAX_IMPORT_ROWS),
  preview: z.boolean().default(false),
});

export interface ImportParts {
  readonly registry: RegistryView;
  readonly sessions: SignInSessions;
  readonly queue: Queue;
  /** Numbers what is imported. */
  readonly imports: BatchEntrance;
  readonly store: Store;
  readonly events: EventRecorder;
  /** Unix ms. */
  readonly now: () => number;
}

/**
 * `POST /api/farms/{farm}/import`: takes readings of the past, up to 5,000 rows at a time, through the queue of the
 * sensors' own readings. The answer is sent when the queue has them on disk. Importing readings twice makes the same
 * points again.
 *
 * Before that they are compared with the store. A value that overwrites another one is taken all the same, and is
 * written to the event log once the queue has it: an import that failed has overwritten nothing. With `preview` that is
 * all: the answer, 200, says what would be stored and overwritten, and nothing is taken.
 */
export function importRoutes({ registry, sessions, queue, imports, store, events, now }: ImportParts): Route[] {
  const rulebook = new Rulebook();
  const comparing = new WorkLimit(COMPARING);
  const handler = signedIn(sessions, async ({ user }, request, { farm: farmId = '' }) => {
    const { farm } = visibleFarm(registry.current(), user, farmId, 'agronomist');
    const { sensor, units, rows, preview } = parseBody(importBody, request.body);
    const known = registry.current().sensor(farm.id, sensor);
    if (!known) throw new HttpProblem('not-found', `the farm has no registered sensor "${sensor}"`);
    if (!preview && (await queue.depth()) > MOST_WAITING) throw retryLater('busy', 2, 'sensors’ own readings go first');
    const received = now();
    const rules = rulebook.of(farm.id, sensor, registry.current());
    const { readings, lines, refused } = readRows(rows, units, rules, received);
    const place = { farm: farm.id, field: known.field, sensor, topic: telemetryTopic(farm.id, sensor), received };
    const answer = { accepted: readings.length, refused };
    const shown = readings.slice(0, MOST_PREVIEWED).map(({ ts, values }, i) => [lines[i] ?? 0, ts, values]);
    if (readings.length === 0) {
      const nothing = { ...answer, overwritten: 0 };
      return preview ? json({ ...nothing, unchanged: 0, readings: shown }) : json(nothing, { status: 202 });
    }
    const id = batchId();
    const given = { farm: farm.id, sensor, readings, batch: id, at: received };
    const { overwritten, unchanged, notCompared } = await comparing.run(sharesOf(user.name, farm.id), () =>
      compareWithStore(store, given, request.signal),
    );
    const compared = { overwritten: overwritten.length, ...(notCompared > 0 ? { notCompared } : {}) };
    if (preview) return json({ ...answer, ...compared, unchanged, readings: shown });
    const publishes: Batch['publishes'][number][] = [];
    for (let i = 0; i < readings.length; i += ROWS_OF_A_PUBLISH) {
      publishes.push({ ...place, payload: encodeImported(readings.slice(i, i + ROWS_OF_A_PUBLISH)) });
    }
    // It gets its number only now: comparing takes its time, and others go by meanwhile.
    await imports.send((place) => queue.publish(encodeBatch({ id, publishes, origin: 'import', place })));
    await events.imported(overwritten);
    const what = `${readings.length} readings, ${overwritten.length} values overwritten, ${refused.length} rows refused`;
    events.did({ kind: 'imported', who: user.name, from: request.remoteAddress, farm: farm.id, sensor, what });
    return json({ ...answer, ...compared }, { status: 202 });
  });
  return [{ method: 'POST', path: '/api/farms/{farm}/import', handler, maxBody: MAX_IMPORT_BODY }];
}
