import { expect } from 'chai';
import { z } from 'zod';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { MOST_COMMAND_BYTES } from '../../telemetry/command.ts';
import { COMMAND_INDEX_LIMITS } from '../../telemetry/command-index.ts';
import { until } from '../services/wait.ts';
import { type Answer, call, Place } from './harness.ts';

const shown = z.object({
  id: z.string(),
  state: z.string(),
  command: z.json(),
  by: z.string(),
  deliveredAt: z.number().nullable(),
});
const list = z.object({ commands: z.array(shown) });
const problem = z.object({ code: z.string() });

describe('commands over HTTP', () => {
  let place: Place;
  let gateway: Gateway;
  const cookies = new Map<string, string>();

  before(async () => {
    place = await Place.open();
    await place.edit((registry) => registry + agronomist(registry));
    gateway = await place.gateway();
    for (const user of ['ada', 'vera', 'sam', 'otto']) cookies.set(user, await place.signIn(gateway, user));
  });
  after(() => place.close());

  /** Otto, agronomist of north, with ada's password. */
  function agronomist(registry: string): string {
    const hash = /password: (\S+)/.exec(registry)?.[1] ?? '';
    return `  - name: otto\n    password: ${hash}\n    farms: { north: agronomist }\n`;
  }
  function send(user: string, body: object | string, sensor = 's1', farm = 'north'): Promise<Answer> {
    const headers = { cookie: cookies.get(user) ?? '' };
    return call(gateway.port, `/api/farms/${farm}/sensors/${sensor}/commands`, { method: 'POST', headers, body });
  }
  function read(user: string, sensor = 's1'): Promise<Answer> {
    const headers = { cookie: cookies.get(user) ?? '' };
    return call(gateway.port, `/api/farms/north/sensors/${sensor}/commands`, { headers });
  }
  const codeOf = (answer: Answer) => [answer.status, problem.parse(JSON.parse(answer.text)).code];
  const commandsOf = (answer: Answer) => list.parse(JSON.parse(answer.text)).commands;

  it('are kept for agronomists and admins of the farm, and for nobody else', async () => {
    for (const user of ['ada', 'otto']) {
      const answer = await send(user, { command: { from: user } });
      expect(answer.status).to.equal(202);
      expect(shown.parse(JSON.parse(answer.text))).to.include({ state: 'queued', by: user, deliveredAt: null });
    }
    expect(codeOf(await send('vera', { command: 1 }))).to.deep.equal([403, 'forbidden']);
    expect(codeOf(await send('sam', { command: 1 }))).to.deep.equal([403, 'forbidden']);
    expect(codeOf(await send('otto', { command: 1 }, 't1', 'south'))).to.deep.equal([403, 'forbidden']);
    expect(codeOf(await send('nobody', { command: 1 }))).to.deep.equal([401, 'not-signed-in']);
  });

  it('are read by everybody who sees the farm, newest first, with what became of them', async () => {
    const first = shown.parse(JSON.parse((await send('ada', { command: ['one'] }, 's2')).text));
    const second = shown.parse(JSON.parse((await send('otto', { command: null, ttl: 60 }, 's2')).text));
    const [command] = place.commands.waitingFor('north', 's2').filter(({ id }) => id === first.id);
    if (!command) throw new Error('it does not wait');
    await place.commands.delivered(command);
    const commands = await until('it is delivered', async () => {
      const all = commandsOf(await read('vera', 's2'));
      return all.some(({ state }) => state === 'delivered') && all;
    });
    expect(new Map(commands.map(({ id, state }) => [id, state]))).to.deep.equal(
      new Map([
        [second.id, 'queued'],
        [first.id, 'delivered'],
      ]),
    );
    expect(codeOf(await call(gateway.port, '/api/farms/north/sensors/s2/commands', {}))).to.deep.equal([
      401,
      'not-signed-in',
    ]);
    expect(codeOf(await read('sam'))).to.deep.equal([403, 'forbidden']);
  });

  it('that are not as described are refused', async () => {
    const bad: (object | string)[] = [
      {},
      { command: 1, more: 2 },
      { command: 1, ttl: 0 },
      `{"command":${'['.repeat(7_000)}${']'.repeat(7_000)}}`,
      `{"command":${'{"a":'.repeat(101)}1${'}'.repeat(101)}}`,
      { command: 1, ttl: 86_401 },
      { command: 1, ttl: 1.5 },
    ];
    for (const body of bad)
      expect(codeOf(await send('ada', body)), JSON.stringify(body).slice(0, 100)).to.deep.equal([
        400,
        'invalid-request',
      ]);
  });

  it('have a largest size', async () => {
    const fits = 'x'.repeat(MOST_COMMAND_BYTES - 2);
    expect((await send('ada', { command: fits })).status).to.equal(202);
    expect(codeOf(await send('ada', { command: `${fits}x` }))).to.deep.equal([413, 'body-too-large']);
  });

  it('go to sensors of the farm: registered, or brought by a bridge and seen', async () => {
    expect(codeOf(await send('ada', { command: 1 }, 'stranger'))).to.deep.equal([404, 'not-found']);
    expect(codeOf(await send('ada', { command: 1 }, 't1'))).to.deep.equal([404, 'not-found']);
    expect(codeOf(await read('ada', 'stranger'))).to.deep.equal([404, 'not-found']);
    const now = Date.now();
    await place.announce([{ farm: 'north', sensor: 'stranger', ts: now, received: now, values: { moisture: 1 } }]);
    await until('it was seen', async () => (await send('ada', { command: 1 }, 'stranger')).status === 202);
    expect(commandsOf(await read('ada', 'stranger'))).to.have.length(1);
  });

  it('have a limit a sensor', async () => {
    const s1 = () => place.commands.waitingFor('north', 's1').length;
    while (s1() < COMMAND_INDEX_LIMITS.waitingPerSensor)
      expect((await send('ada', { command: s1() })).status).to.equal(202);
    expect(codeOf(await send('ada', { command: 'one more' }))).to.deep.equal([429, 'too-many-commands']);
    expect((await send('ada', { command: 'another sensor' }, 's2')).status).to.equal(202);
  });

  it('cannot be taken while their log is away', async () => {
    await place.commandsLog.close();
    expect(codeOf(await send('ada', { command: 1 }, 's2'))).to.deep.equal([503, 'log-unavailable']);
  });
});
