import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import pino from 'pino';
import { RefusalBook } from '../../backbone/events/refusal-book.ts';
import { type Log, REFUSALS_LOG_LIMITS } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import type { Broker } from '../../broker/broker.ts';
import { connectAs, startBroker } from '../broker/harness.ts';
import { locateTool } from '../services/install.ts';
import { temporaryFolder, until } from '../services/wait.ts';

const run = promisify(execFile);

describe('the filter for fail2ban', function () {
  this.timeout(300_000);
  let folder: string;
  let log: Log;
  let queue: Queue;
  let broker: Broker | undefined;
  let refusals: RefusalBook;
  const lines: string[] = [];

  beforeEach(async () => {
    folder = await temporaryFolder();
    log = await openFileLog(folder, 'refusals', REFUSALS_LOG_LIMITS);
    queue = await openFileQueue(join(folder, 'queue'));
    lines.length = 0;
    const logger = pino({ level: 'info' }, { write: (line) => void lines.push(line) });
    refusals = new RefusalBook({ refusals: log, logger });
  });

  afterEach(async () => {
    await broker?.stop(2_000);
    await refusals.stop();
    await log.close();
    await queue.close();
  });

  /** The addresses that fail2ban finds in Loam's lines by one of the filters. */
  async function found(filter: 'loam' | 'loam-flood'): Promise<string[]> {
    const tool = await locateTool('fail2ban-regex');
    const file = join(folder, 'loam.log');
    await writeFile(file, lines.join(''));
    const { stdout } = await run(tool, ['-o', 'ip', file, `deploy/fail2ban/filter.d/${filter}.conf`]);
    return stdout.split('\n').filter((line) => line !== '');
  }

  it('finds the address of clients with wrong names and secrets, and of nobody else', async () => {
    broker = await startBroker(queue, { refused: refusals.note });
    const { port } = broker;
    const refused = (sensor: string, options: Parameters<typeof connectAs>[2]) =>
      connectAs(port, sensor, options).then(
        () => expect.fail('let in'),
        () => {},
      );
    await refused('a1', { password: 'wrong' });
    await refused('","from":"192.0.2.66","why":"wrong_password","count":77,"who":"', { password: 'x' });
    await refused('a1', { protocolVersion: 5 });
    await refused('a1', {
      will: { topic: 'farms/north/sensors/b7/telemetry', payload: Buffer.from('x'), qos: 0, retain: false },
    });
    await until('all are told', () => lines.length >= 4);
    refusals.note({ kind: 'sign_in_refused', from: '198.51.100.7', why: 'wrong_password', who: 'ada' });
    refusals.note({ kind: 'sign_in_refused', from: '2001:db8::7', why: 'too_many_attempts' });
    refusals.note({ kind: 'taken_over', from: '198.51.100.8', why: 'same_client_id', who: 'north/a1' });
    expect(await found('loam')).to.deep.equal(['127.0.0.1', '127.0.0.1', '198.51.100.7', '2001:db8::7']);
  });

  it('finds at once who came often within a minute', async () => {
    for (let i = 0; i < 11; i++) refusals.note({ kind: 'mqtt_refused', from: '198.51.100.7', why: 'wrong_password' });
    for (let i = 0; i < 5; i++) refusals.note({ kind: 'mqtt_refused', from: '198.51.100.8', why: 'wrong_password' });
    await refusals.stop();
    expect(await found('loam-flood')).to.deep.equal(['198.51.100.7']);
  });
});
