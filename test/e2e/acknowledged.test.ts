import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import fc from 'fast-check';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { openInfluxStore } from '../../backbone/influx/store.ts';
import { openRabbitQueue } from '../../backbone/rabbitmq/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { overlay } from '../gateway/harness.ts';
import { influx } from '../services/influx.ts';
import { type MosquittoServer, startMosquitto } from '../services/mosquitto.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import type { Faults } from './faults.ts';
import { Account, BOTH_FARMS, type FarmId, FORMS, type Form, Measurements, type Qos } from './measurements.ts';
import { LINES, type Line } from './resending-sensor.ts';
import { clockOf, NO_FAULTS, type SensorId, type Surroundings, TwoFarms } from './two-farms.ts';

/** How messages come in. `second` ones come to another broker on the same queue; `source`: to a broker that is not Loam's. */
const ENTRANCES = ['id', 'farm/id', 'bridge', 'second', 'second bridge', 'source', 'import'] as const;
type Entrance = (typeof ENTRANCES)[number];

/** Some messages of one sensor, through one entrance. */
interface Sending {
  readonly farm: FarmId;
  readonly sensor: SensorId;
  readonly entrance: Entrance;
  readonly form: Form;
  readonly qos: Qos;
  readonly count: number;
  /** How often each payload is sent, as messages of their own. */
  readonly copies: number;
  readonly line: Line;
}

/** Sendings that happen at the same time, what goes wrong at the queue or the store meanwhile, and whether the worker is replaced. */
interface Step {
  readonly sendings: readonly Sending[];
  readonly fault: Partial<Faults>;
  readonly replaced: boolean;
}

/** So many messages are sent at once where a connection is cut, each in up to two copies. */
const MOST_SENT_AGAIN = 12;

/** Only these sign in as themselves. */
const OWN: readonly Entrance[] = ['id', 'farm/id', 'second'];

/** A sending that is possible: ThingsBoard's topic means who signs in, and only bridges and sources bring who is not registered. */
function possible(sending: Sending): Sending {
  const { entrance, form, sensor, line, count } = sending;
  const isOwn = OWN.includes(entrance);
  const isBrought = !isOwn && entrance !== 'import';
  return {
    ...sending,
    sensor: isBrought || sensor !== 'x1' ? sensor : 'a1',
    form: isOwn || !form.startsWith('thingsboard') ? form : 'native',
    count: line === 'whole' && entrance !== 'source' ? count : Math.min(count, MOST_SENT_AGAIN),
  };
}

const connectionOf = ({ farm, sensor, entrance }: Sending) =>
  OWN.includes(entrance) ? `${farm} ${entrance} ${sensor}` : `${farm} ${entrance}`;

const sending = fc
  .record({
    farm: fc.constantFrom(...BOTH_FARMS),
    sensor: fc.constantFrom<SensorId>('a1', 'a1', 'a2', 'r1', 'x1'),
    entrance: fc.constantFrom(...ENTRANCES),
    form: fc.constantFrom(...FORMS),
    qos: fc.constantFrom<Qos>(0, 1, 1, 2),
    count: fc.constantFrom(1, 3, 12, 250),
    copies: fc.constantFrom(1, 1, 2),
    line: fc.constantFrom<Line>('whole', ...LINES),
  })
  .map(possible);
const step = fc.record({
  sendings: fc.uniqueArray(sending, { minLength: 1, maxLength: 4, selector: connectionOf }),
  fault: fc.constantFrom<Step['fault']>(
    {},
    {},
    { redelivered: 3 },
    { unconfirmed: 2 },
    { refused: 1 },
    { unwritten: 1 },
  ),
  replaced: fc.constantFrom(false, false, true),
});

/** The same sending on both farms at once. */
const onBoth = (given: Partial<Sending>): Sending[] =>
  BOTH_FARMS.map((farm) => ({
    farm,
    sensor: 'a1',
    entrance: 'id',
    form: 'native',
    qos: 1,
    count: 12,
    copies: 1,
    line: 'whole',
    ...given,
  }));
const stepOf = (sendings: readonly Sending[], fault: Step['fault'] = {}, replaced = false): Step => ({
  sendings: sendings.map(possible),
  fault,
  replaced,
});

/** A sequence in which everything happens once: random ones may leave something out. */
const EVERYTHING: readonly Step[] = [
  stepOf([...onBoth({ count: 300 }), ...onBoth({ entrance: 'bridge', count: 300, qos: 0 })]),
  ...FORMS.flatMap((form, i) => [
    stepOf([...onBoth({ form, qos: i % 2 === 0 ? 1 : 2 }), ...onBoth({ form, sensor: i % 2 === 0 ? 'r1' : 'a2' })]),
  ]),
  stepOf([...onBoth({ entrance: 'second' }), ...onBoth({ entrance: 'second bridge', sensor: 'x1', qos: 2 })]),
  stepOf([...onBoth({ entrance: 'source', line: 'cut at once' }), ...onBoth({ entrance: 'import' })]),
  ...LINES.map((line) => stepOf([...onBoth({ line, qos: 1 }), ...onBoth({ line, qos: 2, entrance: 'farm/id' })])),
  stepOf(onBoth({ count: 250, copies: 2 }), { redelivered: 8 }),
  stepOf(onBoth({ form: 'native timed', copies: 2 }), { unconfirmed: 2 }, true),
  stepOf(onBoth({ count: 3 }), { unwritten: 1 }, true),
  stepOf(onBoth({ line: 'cut at once' }), { refused: 2 }),
  stepOf(onBoth({ line: 'cut for a while' }), { unconfirmed: 4 }),
  stepOf(onBoth({ qos: 0, count: 30 })),
];

async function send(farms: TwoFarms, account: Account, measurements: Measurements, given: Sending): Promise<void> {
  const { farm, sensor, entrance, form, qos, count, copies, line } = given;
  // Two brokers' receipts differ with a high probability only, which is documented. Each has a metric of its own, so that chance fails no test.
  const metric = entrance.startsWith('second') ? 'beside' : 'first';
  const by = { farm, sensor, metric, clock: clockOf(farm, sensor) };
  if (entrance === 'import') {
    const measured = Array.from({ length: count }, () => measurements.timed(by));
    const message = { farm, sensor, qos: 1, topic: '', payload: '', measured, sentAt: Date.now() } as const;
    await farms.import(
      farm,
      sensor,
      measured.map(({ ts, value }) => [ts, { [metric]: value }]),
    );
    account.add([{ ...message, acknowledgedAt: Date.now() }]);
    return;
  }
  const messages = Array.from({ length: count }, () => measurements.message(form, by, qos)).flatMap((message) =>
    Array.from({ length: copies }, () => ({ ...message })),
  );
  if (entrance === 'source') {
    account.addOfSource(messages);
    const sent = messages.map(({ topic, payload }) => farms.elsewhere.publishAsync(topic, payload, { qos }));
    if (line !== 'whole') {
      farms.cutSources();
      account.sourcesCut();
    }
    await Promise.all(sent);
    if (qos === 0) return;
    for (const message of messages) {
      await farms.keeps(message.payload, copies);
      message.acknowledgedAt = Date.now();
    }
    return;
  }
  account.add(messages);
  const id = entrance.endsWith('bridge') ? 'gate' : sensor;
  const username = entrance === 'farm/id' ? `${farm}/${id}` : id;
  await farms.client(entrance.startsWith('second') ? 1 : 0, farm, id, username).publish(messages, line);
}

/** Sends everything of the steps, and resolves with what is wrong in the store after it. */
async function complaintsAfter(steps: readonly Step[], surroundings: Surroundings): Promise<string[]> {
  const farms = await TwoFarms.open(surroundings);
  const account = new Account();
  const measurements = new Measurements();
  try {
    for (const { sendings, fault, replaced } of steps) {
      Object.assign(farms.faults, fault);
      const sent = sendings.map((given) => send(farms, account, measurements, given));
      await Promise.all([...sent, ...(replaced ? [farms.replaceWorker()] : [])]);
    }
    await refuseOnlyQos0(farms, account, measurements);
    for (const given of onBoth({ count: 1, qos: 0 })) await send(farms, account, measurements, given);
    // Nothing is away any more, so these, too, must be there, though nobody acknowledges them.
    for (const message of account.messages.slice(-2)) message.acknowledgedAt = Date.now();
    const wrong = await complaintsWhenSettled(farms, account);
    return [...wrong, ...(await farms.letters())].slice(0, 10);
  } finally {
    await farms.close();
  }
}

/** The queue refuses a publish of QoS 0. Resolves when the broker is open again, without a publish of QoS 1 or 2 that was tried again. */
async function refuseOnlyQos0(farms: TwoFarms, account: Account, measurements: Measurements): Promise<void> {
  Object.assign(farms.faults, NO_FAULTS);
  await farms.takePublishes();
  farms.faults.refused = 1;
  for (const given of onBoth({ count: 1, qos: 0 }).slice(0, 1)) await send(farms, account, measurements, given);
  await until('it is refused', () => farms.faults.refused === 0);
  await farms.takePublishes();
}

/** What is wrong when all is right, or when nothing has changed for a while. */
async function complaintsWhenSettled(farms: TwoFarms, account: Account): Promise<string[]> {
  let wrong: string[] = [];
  let changedAt = performance.now();
  const isSettled = async () => {
    const isWorkedOff = await farms.isWorkedOff();
    const now = account.complaints(await farms.stored());
    if (!isDeepStrictEqual(now, wrong)) changedAt = performance.now();
    wrong = now;
    return (wrong.length === 0 && isWorkedOff) || performance.now() - changedAt > SETTLED_MS;
  };
  await until('the farms are settled', isSettled, { timeoutMs: 60_000, everyMs: 50 });
  return wrong;
}

const SETTLED_MS = 3_000;

/** A run takes seconds, and making a sequence that fails a small one takes very many: the seed is enough. */
const RUNS = { endOnFailure: true };
const rule = (open: () => Promise<Surroundings>) =>
  fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 10 }), async (steps) => {
    const complaints = await complaintsAfter(steps, await open());
    expect(complaints, complaints.slice(0, 3).join('; ')).to.deep.equal([]);
  });

describe('what was acknowledged is stored with its values, once, and under its own farm', function () {
  this.timeout(300_000);
  let mosquitto: MosquittoServer;
  const serial = { now: 0 };

  before(async () => {
    mosquitto = await startMosquitto({ lines: ['max_inflight_messages 0', 'max_queued_messages 100000'] });
  });
  after(() => mosquitto.close());

  async function embedded(): Promise<Surroundings> {
    const folder = await temporaryFolder();
    const queue = await openFileQueue(`${folder}/queue`);
    const store = await openDuckdbStore(`${folder}/readings.duckdb`);
    // The file is one process's: all parts share the queue, and only the end closes it.
    const shared = overlay(queue, { close: async () => {} });
    const close = async () => {
      await queue.close();
      await store.close();
    };
    return { openQueue: async () => shared, store, mosquitto, close };
  }

  async function onServers(): Promise<Surroundings> {
    serial.now += 1;
    const name = `acknowledged.${process.pid}.${serial.now}`;
    const { url } = await rabbit();
    const store = await openInfluxStore((await influx()).storeUrl(name.replaceAll('.', '_')));
    return {
      openQueue: () => openRabbitQueue(url, { name, settleMs: 0 }),
      store,
      mosquitto,
      close: () => store.close(),
    };
  }

  it('through every entrance and in every form, on the embedded queue and DuckDB', async () => {
    expect(await complaintsAfter(EVERYTHING, await embedded())).to.deep.equal([]);
  });

  it('in any order of sendings, cut lines, faults of the queue and new workers', async () => {
    await fc.assert(rule(embedded), { ...RUNS, numRuns: 4 });
  });

  it('on RabbitMQ and InfluxDB too', async () => {
    await fc.assert(rule(onServers), { ...RUNS, numRuns: 2, examples: [[[...EVERYTHING]]] });
  });
});
