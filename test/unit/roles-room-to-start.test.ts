import { join } from 'node:path';
import { expect } from 'chai';
import pino from 'pino';
import { z } from 'zod';
import { loadConfig } from '../../core/config.ts';
import type { Lifecycle } from '../../core/lifecycle.ts';
import { assertRoomToStart, startWithRoom } from '../../roles/room-to-start.ts';
import type { RunContext, StartRole } from '../../roles/run.ts';
import { startUp } from '../../roles/up.ts';
import { DecidedDisks } from '../backbone/disk-room.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';

const ANSWER = z.object({
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), why: z.string().optional() })),
});
/** A start that needs the room of one, and opens nothing. */
const startNothing: StartRole = (_lifecycle, running) => assertRoomToStart(running);

const never = new Promise<never>(() => {});

describe('a start on a full disk', function () {
  this.timeout(60_000);
  let decided: DecidedDisks;
  let running: RunContext;
  let lines: { event?: string; msg: string; level: number }[];
  let ops: string;
  let started: Lifecycle | undefined;

  beforeEach(async () => {
    decided = new DecidedDisks();
    decided.free = 1e6;
    lines = [];
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
    const opsPort = await freePort();
    ops = `http://127.0.0.1:${opsPort}`;
    const given = {
      data: join(await temporaryFolder(), 'data'),
      mqttPort: '0',
      httpPort: '0',
      opsPort: String(opsPort),
      demo: 'false',
    };
    running = { name: 'up', config: loadConfig(given, {}), log, disks: decided.disks };
    started = undefined;
  });

  afterEach(async () => {
    await started?.stop(10_000);
  });

  const saidOf = (event: string) => lines.filter((line) => line.event === event);
  const readyz = async () => {
    const answer = await fetch(`${ops}/readyz`);
    const { checks } = ANSWER.parse(await answer.json());
    return { status: answer.status, check: checks[0] };
  };

  it('waits with one line that says what is full and how much is needed, answers meanwhile, and goes on when there is room', async () => {
    const starting = startWithRoom(running, startUp, never);
    const { check, status } = await until('an answer', readyz);
    expect(status).to.equal(503);
    expect((await fetch(`${ops}/healthz`)).status).to.equal(200);
    expect(check).to.include({ name: 'disk', ok: false });
    for (const text of [check?.why, saidOf('start_waits')[0]?.msg]) {
      expect(text)
        .to.include('only 1.0 MB are left')
        .and.include('16 MB are needed')
        .and.include('waits with its start')
        .and.not.match(/ENOSPC|MDB_|\.tmp/);
    }
    decided.free = 10e6;
    await until('the wait to be told anew', async () => (await readyz()).check?.why?.includes('only 10 MB'));
    expect(saidOf('start_waits')).to.have.length(1);
    decided.free = 400e6;
    started = await starting;
    expect(started).not.to.equal(undefined);
    expect((await readyz()).status).to.equal(200);
    expect(saidOf('start_went_on')).to.have.length(1);
    expect(lines.filter(({ level }) => level >= 50)).to.deep.equal([]);
  });

  it('waits also where the disk shows room and refuses a write, as at a quota', async () => {
    decided.free = 400e6;
    let refusals = 0;
    const refusing = async (lifecycle: Lifecycle) => {
      if (refusals++ === 0) {
        const cause = Object.assign(new Error("EDQUOT: quota exceeded, open '/x.tmp'"), {
          code: 'EDQUOT',
          syscall: 'open',
        });
        throw new Error('a secret cannot be kept', { cause });
      }
      await startNothing(lifecycle, running);
    };
    const starting = startWithRoom(running, refusing, never);
    const { check } = await until('an answer', async () => (refusals === 1 ? await readyz() : undefined));
    expect(check?.why).to.include('a secret cannot be kept').and.include('quota');
    started = await starting;
    expect(refusals).to.equal(2);
  });

  it('ends when it is asked to stop, and gives its port back', async () => {
    let stop = () => {};
    const asked = new Promise<void>((resolve) => {
      stop = resolve;
    });
    const starting = startWithRoom(running, startNothing, asked);
    await until('an answer', readyz);
    stop();
    expect(await starting).to.equal(undefined);
    expect(await readyz().catch(() => 'nobody')).to.equal('nobody');
  });

  it('waits also where the port for operators is taken', async () => {
    const other = startWithRoom(running, startNothing, never);
    await until('an answer', readyz);
    const config = loadConfig(
      { data: join(await temporaryFolder(), 'data'), mqttPort: '0', httpPort: '0', opsPort: '0', demo: 'false' },
      {},
    );
    const second = { ...running, config: { ...config, opsPort: running.config.opsPort } };
    let stop = () => {};
    const waiting = startWithRoom(
      second,
      startUp,
      new Promise<void>((resolve) => {
        stop = resolve;
      }),
    );
    await until('both to wait', () => saidOf('start_waits').length === 2);
    stop();
    expect(await waiting).to.equal(undefined);
    decided.free = 400e6;
    started = await other;
  });

  it('does not wait where something else is wrong', async () => {
    decided.free = 400e6;
    const refusing = startWithRoom(running, () => Promise.reject(new Error('a wrong setting')), never);
    expect(await refusing.then(() => 'started', String)).to.include('a wrong setting');
    expect(lines).to.deep.equal([]);
  });
});
