import { randomUUID } from 'node:crypto';
import { mkdir, symlink } from 'node:fs/promises';
import { connect } from 'amqplib';
import { expect } from 'chai';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { LIVE_LOG_LIMITS } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { openRabbitQueue } from '../../backbone/rabbitmq/queue.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { SEGMENTS } from '../../backbone/take-over/take-over.ts';
import { deleteQueue } from '../backbone/rabbitmq-help.ts';
import { itIfLong } from '../services/length.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { AccountPlace, BEAT_MS } from './account-place.ts';
import { consumedBy } from './bench.ts';

const name = `test.${randomUUID()}`;
const QUEUES: Record<string, { open: () => Promise<Queue>; remove: () => Promise<void> }> = {
  embedded: { open: async () => openFileQueue(`${await temporaryFolder()}/queue`), remove: async () => {} },
  RabbitMQ: {
    open: async () => openRabbitQueue((await rabbit()).url, { name, settleMs: 0 }),
    remove: async () => deleteQueue((await rabbit()).url, name),
  },
};

describe('the account of batches', function () {
  this.timeout(90_000);
  let store: Store;
  before(async () => {
    store = await openDuckdbStore(`${await temporaryFolder()}/readings.duckdb`);
  });
  after(() => store.close());

  for (const [kind, { open, remove }] of Object.entries(QUEUES)) {
    describe(`over a queue (${kind})`, () => {
      let queue: Queue;
      let place: AccountPlace;

      beforeEach(async () => {
        queue = await open();
        place = await AccountPlace.open(queue, store);
      });

      afterEach(async () => {
        await place.close();
        await queue.close();
        await remove();
      });

      /** Resolves when these, and no others, are called lost, and some time has passed after it. */
      async function lost(numbers: readonly number[]): Promise<void> {
        await until('they are called lost', () => place.lost.length >= numbers.length, { timeoutMs: 30_000 });
        await beats(10);
        expect(place.lost).to.deep.equal(numbers);
        expect(place.why).to.match(/^\d+ batches that the queue had confirmed are lost/);
        expect(await place.metrics.text()).to.match(new RegExp(`^loam_batches_lost ${numbers.length}$`, 'm'));
      }

      /** So many more beats are heard. */
      async function beats(count: number): Promise<void> {
        const end = performance.now() + count * BEAT_MS;
        await until('some beats are over', () => performance.now() >= end);
      }

      itIfLong('is silent while workers come and go and a message is delivered again', async () => {
        place.flows();
        let failed = 0;
        const failing = consumedBy(queue, (handler, options) =>
          queue.consume(async (delivery) => {
            failed += 1;
            // Not the same one over and over: that rests for longer than what is two minutes here.
            if (failed % 10 === 0 && delivery.attempt === 1) throw new Error('once more');
            await handler(delivery);
          }, options),
        );
        for (const seen of [queue, failing, queue]) {
          const worker = await place.work(seen);
          await beats(8);
          await worker.stop(2_000);
        }
        await place.work();
        await beats(12);
        expect(place.lost).to.deep.equal([]);
        expect(place.why).to.equal(undefined);
        expect(failed).to.be.greaterThan(10);
        expect(await place.metrics.text()).to.match(/^loam_batches_lost 0$/m);
      });

      it('misses a message that was deleted', async () => {
        await place.publish(10);
        const stolen = await place.steal(1);
        place.flows();
        await place.work();
        await lost(stolen);
      });

      itIfLong('misses everything that was purged', async () => {
        await place.publish(25);
        const stolen = kind === 'embedded' ? await place.steal(25) : await purged();
        expect(stolen).to.have.length(25);
        place.flows();
        await place.work();
        await lost(stolen);
      });

      itIfLong('misses what another Loam has worked off, which has another live log', async () => {
        await place.publish(25);
        const elsewhere = await openFileLog(await temporaryFolder(), 'live', LIVE_LOG_LIMITS);
        const other = await place.work(queue, { live: elsewhere });
        await until('the other has them all', async () => (await queue.depth()) === 0);
        await other.stop(2_000);
        await elsewhere.close();
        place.flows();
        await place.work();
        await lost(Array.from({ length: 25 }, (_, i) => i + 1));
      });

      itIfLong('misses what was called confirmed before the queue had it', async () => {
        const hasty = replacing(queue, { publish: async () => {} });
        await place.publish(5);
        await place.publish(3, hasty);
        await place.publish(5);
        place.flows();
        await place.work();
        await lost([6, 7, 8]);
      });

      itIfLong('misses what was acknowledged before the store had it', async () => {
        await place.publish(20);
        const unsure = consumedBy(queue, (handler, options) =>
          queue.consume(async (delivery) => void handler(delivery).catch(() => {}), options),
        );
        const stuck = replacing(store, { write: () => new Promise<void>(() => {}) });
        const worker = await place.work(unsure, { store: stuck });
        await until('all are acknowledged', async () => (await queue.depth()) === 0);
        await worker.stop(100);
        place.flows();
        await place.work();
        await lost(Array.from({ length: 20 }, (_, i) => i + 1));
      });

      it('is told that a batch is worked off only when the store has it', async () => {
        await place.publish(5);
        const stuck = replacing(store, { write: () => new Promise<void>(() => {}) });
        await place.work(queue, { store: stuck });
        const all = JSON.stringify([{ from: 1, to: 5 }]);
        const holding = async () =>
          (await place.notes()).filter((note) => note.is === 'held' && JSON.stringify(note.held[0]?.numbers) === all);
        await until('it was said three times who holds them', async () => (await holding()).length > 2);
        expect((await place.notes()).filter(({ is }) => is === 'done')).to.deep.equal([]);
      });

      itIfLong(
        'says what is lost once, whoever follows after that, and does not forget what is suspect at a restart',
        async () => {
          await place.publish(10);
          const [first = 0] = await place.steal(1);
          place.flows();
          await place.work();
          await lost([first]);
          await place.publish(10, replacing(queue, { publish: async () => {} }));
          await place.stopFollowing();
          await place.follow();
          await until('the others are called lost', () => place.lost.length === 11, { timeoutMs: 30_000 });
          await place.stopFollowing();
          await place.follow();
          await beats(12);
          expect(place.lost).to.have.length(11);
          expect(new Set(place.lost).size).to.equal(11);
          expect(place.why).to.match(/^11 batches/);
        },
      );

      if (kind === 'embedded') {
        itIfLong('misses what a second owner of the folder has replaced', async () => {
          const folder = await temporaryFolder();
          const mine = await openFileQueue(`${folder}/mine`);
          // Its lock is elsewhere, as on a file system where locks do not hold.
          await mkdir(`${folder}/other`);
          await symlink(`${folder}/mine/${SEGMENTS}`, `${folder}/other/${SEGMENTS}`);
          const other = await openFileQueue(`${folder}/other`);
          const mineToo = await AccountPlace.open(mine, store);
          try {
            await mineToo.publish(10);
            await place.publish(10, other);
            // It takes nothing any more; Loam is started again, and the other one is gone.
            await mineToo.publish(1).catch(() => {});
            await other.close();
            await mine.close();
            mineToo.queue = await openFileQueue(`${folder}/mine`);
            mineToo.flows();
            await mineToo.work();
            await until('they are called lost', () => mineToo.lost.length >= 10, { timeoutMs: 30_000 });
            await beats(10);
            expect(mineToo.lost).to.deep.equal(Array.from({ length: 10 }, (_, i) => i + 1));
          } finally {
            await mineToo.close();
            await mineToo.queue.close();
          }
        });
        return;
      }

      itIfLong('misses what a policy has expired', async () => {
        const server = await rabbit();
        // The server gives a message its time when it comes.
        await server.ctl('set_policy', name, `^${name}$`, '{"message-ttl":200}', '--apply-to', 'queues');
        await place.publish(15);
        await until('all are expired', async () => (await queue.depth()) === 0);
        await server.ctl('clear_policy', name);
        place.flows();
        await place.work();
        await lost(Array.from({ length: 15 }, (_, i) => i + 1));
      });

      async function purged(): Promise<number[]> {
        const connection = await connect((await rabbit()).url);
        const { messageCount } = await (await connection.createChannel()).purgeQueue(name);
        await connection.close();
        return Array.from({ length: messageCount }, (_, i) => i + 1);
      }
    });
  }
});

/** The same object, but for some of its methods. */
function replacing<T extends object>(port: T, methods: Partial<T>): T {
  return new Proxy(port, {
    get: (target, key) => {
      const value: unknown = Reflect.get(key in methods ? methods : target, key);
      return typeof value === 'function' && !(key in methods) ? value.bind(target) : value;
    },
  });
}
