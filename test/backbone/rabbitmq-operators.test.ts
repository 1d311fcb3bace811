import { once } from 'node:events';
import { createServer } from 'node:tls';
import { expect } from 'chai';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openRabbitLog } from '../../backbone/rabbitmq/log.ts';
import { openRabbitQueue } from '../../backbone/rabbitmq/queue.ts';
import { explain } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { ServerPolicies } from '../../roles/server-policies.ts';
import { authority, signed } from '../broker/certificates.ts';
import { run } from '../e2e/loam-process.ts';
import { itIfLong } from '../services/length.ts';
import { type RabbitServer, startRabbit } from '../services/rabbitmq.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';
import { rejection } from './numbered.ts';

const DAY_MS = 86_400_000;

describe('RabbitMQ: what its operators change', function () {
  this.timeout(120_000);
  let server: RabbitServer;
  let api: string;

  before(async () => {
    const port = await freePort();
    const config = `management.tcp.port = ${port}\nmanagement.tcp.ip = 127.0.0.1\n`;
    server = await startRabbit({ plugins: ['rabbitmq_management'], config });
    // This tag is enough, and a permission that matches nothing.
    await server.ctl('add_user', 'look', 'l00k');
    await server.ctl('set_user_tags', 'look', 'management');
    await server.ctl('set_permissions', 'look', '^$', '^$', '^$');
    api = `http://look:l00k@127.0.0.1:${port}`;
  });

  after(() => server.close());

  describe('policies', () => {
    let queue: Queue;

    before(async () => {
      queue = await openRabbitQueue(server.url, { settleMs: 0 });
      await (await openRabbitLog(server.url, 'dead', { maxAgeMs: 365 * DAY_MS, maxBytes: 2 ** 32 })).close();
    });

    after(() => queue.close());

    afterEach(async () => {
      for (const word of ['clear_policy', 'clear_operator_policy']) await server.ctl(word, 'p').catch(() => '');
    });

    /** What `/readyz` says of the policies, once `isRight` likes it. */
    async function told(isRight: (why: string) => boolean, given = api): Promise<string> {
      const config = { queue: server.url, log: server.url, rabbitmqApi: given };
      const policies = new ServerPolicies(config, { log: silent, everyMs: 100 });
      await policies.start();
      const why = () => {
        const [health] = policies.health();
        return health?.why ?? (health?.ok ? 'ok' : '');
      };
      try {
        await until('the policies', () => isRight(why()), { timeoutMs: 30_000 });
        return why();
      } finally {
        await policies.stop();
      }
    }

    it('that delete what was acknowledged are named, with the key, and are gone when they are cleared', async () => {
      expect(await told((why) => !why.startsWith('unknown'))).to.equal('ok');
      const harmful = {
        'message-ttl': 4000,
        expires: 600_000,
        overflow: 'drop-head',
        'delivery-limit': 3,
        'max-length': 5,
      };
      await server.ctl('set_policy', 'p', '^loam\\.', JSON.stringify(harmful), '--apply-to', 'queues');
      const why = await told((text) => text.includes('message-ttl'));
      for (const key of ['message-ttl = 4000', 'expires = 600000', 'overflow = drop-head', 'delivery-limit = 3'])
        expect(why).to.include(`policy "p" sets ${key} for "loam.readings": it deletes`);
      // Fewer messages are refused earlier, which whoever publishes is told.
      expect(why).to.not.include('max-length');
      await server.ctl('clear_policy', 'p');
      expect(await told((text) => !text.includes('message-ttl') && !text.startsWith('unknown'))).to.equal('ok');
    });

    itIfLong('of the server itself count, and so do those that keep less of a log than was asked for', async () => {
      await server.ctl('set_operator_policy', 'p', '^loam\\.readings$', '{"message-ttl":1000}');
      expect(await told((text) => text.includes('ttl'))).to.include('operator policy "p" sets message-ttl = 1000');
      await server.ctl('set_policy', 'p', '^loam\\.dead$', '{"max-age":"2D","max-length-bytes":1000000}');
      const why = await told((text) => text.includes('max-age'));
      expect(why).to.include('max-age = 2D').and.to.include('keeps 1000000 bytes instead of 4294967296');
      await server.ctl('set_policy', 'p', '^loam\\.dead$', '{"max-age":"2Y"}');
      expect(await told((text) => !text.includes('max-age'))).to.not.include('loam.dead');
    });

    it('are unknown, and not ok, without an API, with a wrong password, and while nobody answers', async () => {
      const { port } = new URL(api);
      const isUnknown = (why: string) => why.startsWith('unknown: ') && !why.includes('not asked yet');
      const [none] = new ServerPolicies(
        { queue: server.url, log: server.url, rabbitmqApi: undefined },
        { log: silent },
      ).health();
      expect(none).to.deep.include({ ok: false, optional: true });
      const refused = await told(isUnknown, `http://look:wr0ng@127.0.0.1:${port}`);
      expect(refused).to.include('the tag management').and.not.include('wr0ng');
      const away = await told(isUnknown, `http://look:l00k@127.0.0.1:${await freePort()}`);
      expect(away).to.include('ECONNREFUSED').and.not.include('l00k');
    });

    itIfLong('are looked at by `loam check`: harm fails it, and what is unknown is called so', async () => {
      const env = {
        LOAM_DATA: await temporaryFolder(),
        LOAM_QUEUE: server.url,
        LOAM_LOG: server.url,
      };
      await run(['init'], env);
      const unknown = await run(['check'], env);
      expect(unknown.stdout).to.include('unknown policies: LOAM_RABBITMQ_API is not set');
      expect(unknown.code, unknown.stdout).to.equal(0);
      const fine = await run(['check'], { ...env, LOAM_RABBITMQ_API: api });
      expect(fine.stdout).to.include('ok      policies: no policy');
      await server.ctl('set_policy', 'p', '^loam\\.', '{"expires":900000}', '--apply-to', 'queues');
      await told((text) => text.includes('expires'));
      const harmed = await run(['check'], { ...env, LOAM_RABBITMQ_API: api });
      expect(harmed.stdout).to.match(/FAILED {2}policies: policy "p" sets expires = 900000 for "loam\.readings"/);
      expect(harmed.code).to.equal(2);
    });
  });

  describe('why it cannot be used', () => {
    const refused = async (url: string) => explain(await rejection(openRabbitQueue(url, { settleMs: 0 })));

    it('is said in plain words: another password, no such virtual host, no right in it', async () => {
      expect(await refused(server.url.replace('guest:guest', 'guest:t0p'))).to.include(
        'user "guest" is not there, or has another password',
      );
      expect(await refused(`${server.url}/of%20others`)).to.include('no virtual host "of others"');
      expect(await refused(server.url.replace('guest:guest', 'look:l00k'))).to.include(
        "access to queue 'loam.readings'",
      );
    });

    it('is said in plain words of certificates and of ports that do not speak TLS', async () => {
      expect(await refused(server.url.replace('amqp:', 'amqps:'))).to.include('does not speak TLS');
      const { cert, key } = await signed('expired', await authority());
      const other = createServer({ cert, key }, (socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
      await once(other, 'listening');
      const address = other.address();
      const port = address !== null && typeof address === 'object' ? address.port : 0;
      try {
        expect(await refused(`amqps://127.0.0.1:${port}`)).to.include('nobody whom this machine trusts has signed');
        expect(await refused(`amqp://127.0.0.1:${port}`)).to.include('does that port speak TLS');
      } finally {
        other.close();
      }
    });

    itIfLong(
      'is that of now: a password that is changed while it runs, and a virtual host that is deleted',
      async () => {
        await server.ctl('add_vhost', 'mine');
        await server.ctl('add_user', 'works', 'w1');
        await server.ctl('set_permissions', '-p', 'mine', 'works', '.*', '.*', '.*');
        const url = server.url.replace('guest:guest', 'works:w1');
        const queue = await openRabbitQueue(`${url}/mine`, { settleMs: 0 });
        const why = () => (queue.state.is === 'down' ? queue.state.why : queue.state.is);
        try {
          await server.ctl('change_password', 'works', 'w2');
          await server.ctl('close_all_connections', '--global', 'maintenance');
          await until('the new reason', () => why().includes('another password'), { timeoutMs: 30_000 });
          await server.ctl('change_password', 'works', 'w1');
          await until('it works again', () => why() === 'up', { timeoutMs: 30_000 });
          await queue.publish(Buffer.from('kept'));
          await server.ctl('delete_vhost', 'mine');
          await until('the next reason', () => why().includes('no virtual host "mine"'), { timeoutMs: 30_000 });
          const error = await rejection(queue.publish(Buffer.from('refused')));
          expect(explain(error)).to.include('no virtual host "mine"');
        } finally {
          await queue.close();
        }
      },
    );
  });
});
