import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { ConfigInvalid } from '../../core/errors.ts';
import { Ledger, sensorKey } from '../../simulators/ledger.ts';
import { linesOf } from '../../simulators/profile/devices.ts';
import { type Profile, parseProfile, sensorsOf } from '../../simulators/profile/schema.ts';
import { firstSeq, linkChangesOf, type Sending, sendingsOf } from '../../simulators/profile/stream.ts';
import { reportPage } from '../../simulators/report-page.ts';
import { verdictOf } from '../../simulators/verify.ts';
import { decodePublish } from '../../telemetry/formats/formats.ts';
import { plainRules } from '../../telemetry/sensor-rules.ts';
import { parsePublishTopic } from '../../telemetry/topic.ts';

const folder = fileURLToPath(new URL('../../simulators/profiles/', import.meta.url));
const START = Date.UTC(2026, 5, 1, 6);

async function ready(name: string): Promise<Profile> {
  return parseProfile(await readFile(join(folder, `${name}.yaml`), 'utf8'), name);
}

/** What every device of a profile sends in its first `ms`. */
function sent(profile: Profile, ms: number): [id: string, sendings: Sending[]][] {
  return linesOf(profile).flatMap(({ devices }) =>
    devices.map((device): [string, Sending[]] => {
      const own: Sending[] = [];
      for (const sending of sendingsOf(device, START)) {
        if (sending.at > ms) break;
        own.push(sending);
      }
      return [device.id, own];
    }),
  );
}

/** What Loam reads in a message of sensor `id`. */
function read(id: string, { topic, payload, at }: Sending) {
  const publish = {
    farm: 'demo',
    field: 'f',
    sensor: id,
    topic,
    payload: Buffer.from(payload),
    received: Math.round(START + at),
  };
  return decodePublish(publish, plainRules());
}

function profileOf(group: string): Profile {
  return parseProfile(`groups:\n  - { name: a, interval: 1s, ${group} }`, 'test');
}

describe('a profile', () => {
  it('is ready for each name that the command line offers', async () => {
    const names = (await readdir(folder)).map((file) => file.replace('.yaml', '')).sort();
    expect(names).to.deep.equal(['1000-sensors', 'bad-day', 'demo', 'flood', 'greenhouse', 'lorawan']);
    for (const name of names) expect(sensorsOf(await ready(name)), name).to.be.above(0);
    expect(sensorsOf(await ready('1000-sensors'))).to.equal(1_000);
  });

  it('gives the same bytes at every run that begins at the same time, and others with another seed', async () => {
    const profile = await ready('bad-day');
    expect(sent(profile, 30_000)).to.deep.equal(sent(profile, 30_000));
    expect(sent({ ...profile, seed: 1 }, 10_000)).to.not.deep.equal(sent(profile, 10_000));
  });

  it('that is wrong is refused with file, line, place and what is allowed', () => {
    const wrong: [string, RegExp][] = [
      ['groups:\n  - name: a\n    count: 3\n    interval: 10', /test:4: groups\.0\.interval: a time such as/],
      ['groups:\n  - name: a\n    cuont: 3\n    interval: 10s', /test:3: groups\.0\.cuont/],
      ['groups:\n  - { name: a, interval: 1s }', /test:2: groups\.0: needs either count or ids/],
      ['groups: [', /test:1: /],
      ['groups: []', /groups/],
      [
        'groups:\n  - { name: a, count: 1, interval: 1s }\n  - { name: a, count: 1, interval: 1s }',
        /test:3:.*there twice/,
      ],
      ['groups:\n  - { name: a, count: 1, interval: 1s, faults: [{ fault: sharks }] }', /groups\.0\.faults\.0/],
      ['groups:\n  - { name: a, count: 1, interval: 1s, format: thingsboard, bridge: true }', /thingsboard/],
    ];
    for (const [yaml, message] of wrong) {
      expect(() => parseProfile(yaml, 'test'), yaml).to.throw(ConfigInvalid, message);
    }
  });

  it('is shared out among shards without a rest', async () => {
    const profile = await ready('bad-day');
    const all = linesOf(profile).map(({ id }) => id);
    const parts = [0, 1, 2].flatMap((index) => linesOf(profile, { index, of: 3 }).map(({ id }) => id));
    expect(parts.sort()).to.deep.equal([...all].sort());
  });

  it('has one connection a bridge where a format is LoRaWAN’s', async () => {
    const lines = linesOf(await ready('lorawan'));
    expect(lines.map(({ id, role }) => [id, role])).to.deep.equal([
      ['cs-bridge', 'bridge'],
      ['ttn-bridge', 'bridge'],
    ]);
  });
});

describe('simulated sendings', () => {
  it('come in order of time, number every reading once, and never repeat a time of a sensor', async () => {
    for (const [id, own] of sent(await ready('bad-day'), 60_000)) {
      const seqs = own.filter(({ kind }) => kind === 'reading').flatMap((sending) => sending.seqs);
      expect(seqs, id).to.deep.equal(seqs.map((_, i) => firstSeq(START) + i));
      for (const [i, { at }] of own.entries()) expect(at, id).to.be.at.least(own[i - 1]?.at ?? 0);
      const times = own
        .filter(({ kind }) => kind === 'reading')
        .flatMap(({ payload }) => [JSON.parse(payload)].flat().map(({ ts }: { ts: number }) => ts));
      expect(new Set(times).size, id).to.equal(times.length).and.to.equal(seqs.length);
    }
  });

  it('that nobody can read are refused as a whole', async () => {
    const echo = sent(await ready('bad-day'), 60_000).flatMap(([, own]) =>
      own.filter(({ kind }) => kind === 'malformed'),
    );
    expect(echo.length).to.be.above(5);
    for (const sending of echo) {
      const { payload } = sending;
      const { readings, refused } = read('x', sending);
      expect(readings, payload).to.deep.equal([]);
      expect(refused, payload).to.not.deep.equal([]);
    }
  });

  it('of each format go to a topic of that format', () => {
    const forms = {
      native: 'native',
      senml: 'native',
      thingsboard: 'thingsboard',
      chirpstack: 'chirpstack',
      ttn: 'ttn',
    };
    for (const [format, form] of Object.entries(forms)) {
      const [[, own] = ['', []]] = sent(profileOf(`count: 1, format: ${format}`), 2_000);
      expect(own.length, format).to.be.above(0);
      for (const sending of own) {
        expect(parsePublishTopic(sending.topic)?.form).to.equal(form);
        const { readings } = read('a-1', sending);
        expect(
          readings.map(({ values }) => values.seq),
          sending.payload,
        ).to.deep.equal(sending.seqs);
        expect(readings[0]?.values.soil_moisture, sending.payload).to.be.a('number');
      }
    }
  });

  it('after hours offline begin with what was measured meanwhile', () => {
    const [[, own] = ['', []]] = sent(
      profileOf('count: 1, faults: [{ fault: offline, away: 6h, back: 5s, step: 5m }]'),
      10_000,
    );
    expect(own[0]).to.include({ at: 5_000 });
    expect(own[0]?.seqs.length).to.equal(48);
    expect(own[1]?.seqs.length).to.equal(73 - 48);
    expect(own.slice(2).every(({ at, seqs }) => at >= 5_000 && seqs.length === 1)).to.equal(true);
  });

  it('of a wrong clock, a stuck probe, a runaway and an echo show it', () => {
    const of = (faults: string) => sent(profileOf(`count: 1, faults: [${faults}]`), 20_000)[0]?.[1] ?? [];
    const values = ({ payload }: Sending): { ts: number; values: Record<string, number> } => JSON.parse(payload);
    for (const sending of of('{ fault: wrong-clock, by: -3h }')) {
      expect(values(sending).ts).to.be.closeTo(START + sending.at - 3 * 3_600_000, 2);
    }
    const stuck = of('{ fault: stuck, metric: battery, from: 5s }').filter(({ at }) => at > 6_000);
    expect(new Set(stuck.map((sending) => values(sending).values.battery)).size).to.equal(1);
    const mad = of('{ fault: runaway, from: 5s, for: 5s, every: 10ms }');
    expect(mad.filter(({ at }) => at >= 5_000 && at < 10_000).length).to.be.within(490, 510);
    const echo = of('{ fault: duplicates, share: 1 }');
    for (let i = 0; i + 1 < echo.length; i += 2) expect(echo[i + 1]?.payload).to.equal(echo[i]?.payload);
  });

  it('happen over links that flap and that all break at once', () => {
    const changes = (faults: string) => {
      const found: [number, string][] = [];
      for (const { at, change } of linkChangesOf(linesOf(profileOf(`count: 1, faults: [${faults}]`))[0] ?? never())) {
        if (at > 60_000) break;
        found.push([at, change]);
      }
      return found;
    };
    expect(changes('{ fault: thundering, at: 10s }')).to.deep.equal([
      [10_000, 'leave'],
      [10_500, 'come-back'],
    ]);
    const flaps = changes('{ fault: flapping, every: 10s, down: 2s }');
    expect(flaps.length).to.be.at.least(10);
    for (const [i, [, change]] of flaps.entries()) expect(change).to.equal(i % 2 === 0 ? 'leave' : 'come-back');
  });
});

function never(): never {
  throw new Error('a profile has a line');
}

describe('the account of a run', () => {
  const line = linesOf(profileOf('count: 1'))[0] ?? never();
  const device = line.devices[0] ?? never();
  const key = sensorKey(device.group.farm, device.id);
  const sending = (seq: number, kind: Sending['kind'] = 'reading'): Sending => ({
    at: 0,
    topic: 't',
    payload: '',
    qos: 1,
    seqs: kind === 'malformed' ? [] : [seq],
    kind,
  });
  function ledgerOf(): Ledger {
    const ledger = new Ledger();
    for (const seq of [1, 2, 3]) {
      ledger.published(device, sending(seq), 100);
      ledger.acknowledged(device, sending(seq), 100 + seq);
    }
    ledger.acknowledged(device, sending(0, 'malformed'), 1);
    ledger.seen(device.group.farm, device.id, 1, 2, 150);
    return ledger;
  }
  const found = (seqs: number[], dead: number | undefined, refused: number[] = []) => ({
    stored: new Map([[key, new Set(seqs)]]),
    deadLetters: dead === undefined ? undefined : new Map([[key, { unreadable: dead, seqs: new Set(refused) }]]),
    storedMs: [],
  });

  it('is well when what was acknowledged is stored and what was unreadable is a dead letter', () => {
    const verdict = verdictOf(ledgerOf(), found([1, 2, 3], 1));
    expect(verdict).to.include({
      ok: true,
      published: 3,
      acknowledged: 3,
      stored: 3,
      seen: 2,
      unseen: 1,
      missingCount: 0,
    });
    expect(verdict.acknowledgedMs?.max).to.be.closeTo(3, 0.01);
  });

  it('names what is missing, and is not well for one reading, one dead letter or one acknowledgement too few', () => {
    const lost = verdictOf(ledgerOf(), found([1, 3], 1));
    expect(lost).to.include({ ok: false, missingCount: 1 });
    expect(lost.missing).to.deep.equal([{ farm: 'demo', sensor: device.id, seq: 2 }]);
    expect(verdictOf(ledgerOf(), found([1, 3], 1, [2]))).to.include({ ok: true, refused: 1 });
    expect(verdictOf(ledgerOf(), found([1, 2, 3], 0)).ok).to.equal(false);
    const ledger = ledgerOf();
    ledger.published(device, sending(4), 100);
    expect(verdictOf(ledger, found([1, 2, 3], 1))).to.include({ ok: false, unacknowledged: 1 });
  });
});

describe('a report’s page', () => {
  it('needs nothing from elsewhere and takes no text for markup', () => {
    const page = reportPage(
      {
        connections: 1,
        qos: 1,
        loop: 'open',
        seconds: 2,
        due: 10,
        sent: 10,
        acknowledged: 10,
        resent: 0,
        unacknowledged: 0,
        perSecond: 5,
        latencyMs: undefined,
        connectionsLost: 0,
        connectionsRefused: 0,
        errors: { '<script>': 1 },
        stretches: [],
        generator: { threads: 1, busiest: 0.1, lateMs: 1, wasTheLimit: false, statement: 'not the limit' },
        ended: 'done',
      },
      { title: 'A <run>', about: [] },
    );
    expect(page).to.include('<svg').and.to.include('A &lt;run&gt;').and.to.include('&lt;script&gt;');
    expect(page).to.not.match(/https?:|<script|<link/);
  });
});
