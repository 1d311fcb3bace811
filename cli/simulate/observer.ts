import { Readable } from 'node:stream';
import { parse } from 'csv-parse';
import WebSocket from 'ws';
import { z } from 'zod';
import { dialWith, LiveClient } from '../../client/index.ts';
import { clock } from '../../core/clock.ts';
import { ApiRefused } from '../../core/errors.ts';
import { pause } from '../../core/timing.ts';
import { type Ledger, sensorKey } from '../../simulators/ledger.ts';
import type { Dead, Findings } from '../../simulators/verify.ts';
import type { Api } from '../api.ts';

const SAMPLE_MS = 500;
const ASK_MS = 50;
const LIVE_MS = 15_000;
/** Stored readings are fetched again until no new one has come for this long. */
const STILL_MS = 20_000;
/** Readings of sensors with wrong clocks may lie this far before or after now: `BEFORE_MS` and `AFTER_MS`. */
const DAY_MS = 86_400_000;
const BEFORE_MS = 400 * DAY_MS;
const AFTER_MS = 2 * DAY_MS;

const deadLetter = z.looseObject({
  offset: z.number(),
  sensor: z.string(),
  received: z.number(),
  payload: z.string(),
  cut: z.boolean(),
});
const deadLetters = z.looseObject({ letters: z.array(deadLetter), next: z.number().nullish() });

/** A reading's sequence number in a payload, plain or as a SenML record. */
const SEQ = /"seq":(\d+)|"n":"seq","v":(\d+)/g;

/** Observes the receiving side of a simulation: as a viewer of the gateway, and by asking what is stored. */
export class Observer {
  private readonly api: Api;
  private readonly ledger: Ledger;
  private readonly farms: readonly string[];
  private readonly clients: LiveClient[] = [];
  private readonly storedMs: number[] = [];
  private readonly over = new AbortController();
  private readonly since = clock.now();
  private sampling: Promise<void> = Promise.resolve();

  constructor(api: Api, ledger: Ledger, farms: readonly string[]) {
    this.api = api;
    this.ledger = ledger;
    this.farms = farms;
  }

  /** Resolves when the live connection of every farm is live. Rejects with an Error when one is not after 15 s. */
  async watch(): Promise<void> {
    const { address, token } = this.api.live();
    for (const farm of this.farms) {
      const headers = { authorization: `Bearer ${token}` };
      const client = new LiveClient({
        dial: dialWith((to, protocol) => new WebSocket(to, protocol, { headers }), address),
      });
      client.on('readings', ({ rows }) => {
        const at = clock.passed();
        for (const { sensor, metric, min, max, last, count } of rows) {
          if (metric !== 'seq') continue;
          // A row may fold several readings. If as many were folded as there are numbers from `min` to `max`, the
          // viewer saw all of these.
          if (count === max - min + 1) this.ledger.seen(farm, sensor, min, max, at);
          else for (const seq of [min, last, max]) this.ledger.seen(farm, sensor, seq, seq, at);
        }
      });
      client.watch(farm);
      this.clients.push(client);
    }
    const begin = clock.passed();
    while (this.clients.some(({ state }) => state.phase !== 'live')) {
      if (clock.passed() - begin > LIVE_MS) throw new Error(`${address} does not show the farm live`);
      await pause(20);
    }
    this.sampling = this.sample();
  }

  /**
   * Waits until the store has all that was acknowledged, or until nothing new comes. Then ends the samples and resolves
   * with what was found.
   */
  async findings(): Promise<Findings> {
    let stored = await this.stored();
    let [count, at] = [countOf(stored), clock.passed()];
    while (!this.allStored(stored, await this.deadLetters()) && clock.passed() - at < STILL_MS) {
      await pause(500);
      stored = await this.stored();
      if (countOf(stored) > count) [count, at] = [countOf(stored), clock.passed()];
    }
    // What was stored is announced to viewers too, but the last messages may still be on their way.
    await this.seenOrStill();
    this.over.abort();
    await this.sampling;
    return { stored, deadLetters: await this.deadLetters(), storedMs: this.storedMs };
  }

  close(): void {
    this.over.abort();
    for (const client of this.clients) client.stop();
  }

  private allStored(
    stored: ReadonlyMap<string, ReadonlySet<number>>,
    dead: ReadonlyMap<string, Dead> | undefined,
  ): boolean {
    for (const [key, { qos, acknowledged }] of this.ledger.accounts) {
      const there = stored.get(key);
      for (const seq of acknowledged.keys())
        if (qos === 1 && !there?.has(seq) && !dead?.get(key)?.seqs.has(seq)) return false;
    }
    return true;
  }

  private async seenOrStill(): Promise<void> {
    const count = () => [...this.ledger.accounts.values()].reduce((sum, { seen }) => sum + seen.size, 0);
    for (let before = -1; before !== count(); await pause(1_000)) before = count();
  }

  /** The sequence numbers that the store has of the run's sensors, by `sensorKey`. */
  private async stored(): Promise<Map<string, Set<number>>> {
    const found = new Map<string, Set<number>>();
    for (const farm of this.farms) {
      for await (const { sensor, value } of this.rows(farm, this.since - BEFORE_MS, clock.now() + AFTER_MS)) {
        const key = sensorKey(farm, sensor);
        if (!this.ledger.accounts.has(key)) continue;
        const known = found.get(key) ?? new Set();
        known.add(value);
        found.set(key, known);
      }
    }
    return found;
  }

  private async *rows(farm: string, from: number, to: number, sensor?: string) {
    const query = new URLSearchParams({ metric: 'seq', from: `${from}`, to: `${to}`, ...(sensor ? { sensor } : {}) });
    const path = `/api/farms/${encodeURIComponent(farm)}/export.csv?${query}`;
    const body = await this.api.stream(path, { signal: AbortSignal.timeout(120_000) });
    const rows: AsyncIterable<unknown> = Readable.fromWeb(body).pipe(parse({ columns: true, bom: true }));
    for await (const row of rows) yield exported.parse(row);
  }

  /** Twice a second picks one acknowledged reading and measures how long it takes until the store has it. */
  private async sample(): Promise<void> {
    const { signal } = this.over;
    while (!signal.aborted) {
      await pause(SAMPLE_MS, signal);
      const chosen = this.newest();
      for (let found = false; chosen && !found && !signal.aborted; ) {
        for await (const { value } of this.rows(
          chosen.farm,
          this.since - BEFORE_MS,
          clock.now() + AFTER_MS,
          chosen.sensor,
        )) {
          found ||= value === chosen.seq;
        }
        if (found) this.storedMs.push(clock.passed() - chosen.due);
        else await pause(ASK_MS, signal);
      }
    }
  }

  /** The newest acknowledged reading of a sensor, each time of another one; undefined when it is too old. */
  private newest() {
    const fresh = [...this.ledger.accounts.values()].filter(({ acknowledged }) => acknowledged.size > 0);
    const account = fresh[this.storedMs.length % Math.max(1, fresh.length)];
    const seq = account && [...account.acknowledged.keys()].at(-1);
    const due = seq === undefined ? undefined : account?.due.get(seq);
    // A reading that waited long before it was sent, such as a backlog, says nothing about the store.
    if (!account || seq === undefined || due === undefined || clock.passed() - due > 5_000) return undefined;
    return { farm: account.farm, sensor: account.sensor, seq, due };
  }

  /** Dead letters since the run began, by `sensorKey`; undefined when this Loam has no dead letters to ask for. */
  private async deadLetters(): Promise<Map<string, Dead> | undefined> {
    const counts = new Map<string, { unreadable: number; seqs: Set<number> }>();
    try {
      for (const farm of this.farms) await this.countLetters(farm, counts);
      return counts;
    } catch (error) {
      if (error instanceof ApiRefused && error.status === 404) return undefined;
      throw error;
    }
  }

  private async countLetters(
    farm: string,
    counts: Map<string, { unreadable: number; seqs: Set<number> }>,
  ): Promise<void> {
    for (let before: number | null | undefined; before !== null; ) {
      const query = new URLSearchParams({ state: 'all', limit: '200', ...(before ? { before: `${before}` } : {}) });
      const path = `/api/farms/${encodeURIComponent(farm)}/dead-letters`;
      const { letters, next } = await this.api.call(`${path}?${query}`, deadLetters);
      const fresh = letters.filter(({ received }) => received >= this.since);
      for (const { sensor, offset, cut, payload: listed } of fresh) {
        // The list has only the beginning of a long payload, such as a day's readings in one message.
        const payload = cut ? (await this.api.call(`${path}/${offset}`, deadLetter)).payload : listed;
        const key = sensorKey(farm, sensor);
        const dead = counts.get(key) ?? { unreadable: 0, seqs: new Set() };
        const seqs = [...payload.matchAll(SEQ)].map(([, plain, senml]) => Number(plain ?? senml));
        for (const seq of seqs) dead.seqs.add(seq);
        if (seqs.length === 0) dead.unreadable += 1;
        counts.set(key, dead);
      }
      // The newest letters come first: a letter from before the run ends the search.
      before = fresh.length < letters.length || letters.length === 0 ? null : (next ?? null);
    }
  }
}

const exported = z.looseObject({ sensor: z.string(), value: z.coerce.number() });

function countOf(stored: ReadonlyMap<string, ReadonlySet<number>>): number {
  return [...stored.values()].reduce((sum, { size }) => sum + size, 0);
}
