import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import mqtt from 'mqtt';
import { temporaryFolder, until } from '../services/wait.ts';
import { LoamProcess } from './loam-process.ts';

describe('a process with few descriptors', function () {
  this.timeout(180_000);
  const sockets = new Set<Socket>();
  let loam: LoamProcess;
  let attacking = true;

  before(function () {
    if (process.platform !== 'linux') this.skip();
  });
  after(async () => {
    attacking = false;
    for (const socket of sockets) socket.destroy();
    expect(await loam.stop()).to.equal(0);
  });

  function hold(port: number, from: string): void {
    if (!attacking) return;
    const socket = connect({ port, host: '127.0.0.1', localAddress: from });
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => {
      sockets.delete(socket);
      setTimeout(hold, 2_000, port, from);
    });
  }

  it('says so, and answers sensors while silent HTTP connections come from everywhere', async () => {
    const env = { LOAM_DATA: await temporaryFolder(), LOAM_DEMO: 'false', LOAM_HTTP_PORT: '0', LOAM_OPS_PORT: '0' };
    const through = ['bash', '-c', 'ulimit -n 1024; exec "$@"', 'bash'];
    loam = new LoamProcess(['up'], { ...env, LOAM_MQTT_PORT: '0' }, 'pipe', undefined, through);
    const [, http] = await loam.says(/Open http:\/\/127\.0\.0\.1:(\d+)/);
    const [, port] = await loam.says(/publish to 127\.0\.0\.1:(\d+)/);
    const [, ops] = await loam.says(/"ops":"127\.0\.0\.1:(\d+)"/);
    await loam.says(/needs more open files than the limit of 1024 leaves/);
    for (let i = 0; i < 1_500; i++) hold(Number(http), `127.0.4.${1 + (i % 4)}`);
    await loam.says(/http_connections_full/);
    for (let i = 0; i < 10; i++) {
      // That it is refused shows that it is heard.
      const refused = await mqtt
        .connectAsync(`mqtt://127.0.0.1:${port}`, { username: 'x', password: 'y', reconnectPeriod: 0 }, false)
        .then(
          () => 'let in',
          (error: unknown) => (error instanceof Error && 'code' in error ? error.code : error),
        );
      expect(refused).to.equal(4);
      expect((await fetch(`http://127.0.0.1:${ops}/healthz`)).status).to.equal(200);
    }
    attacking = false;
    for (const socket of sockets) socket.destroy();
    const answers = () =>
      fetch(`http://127.0.0.1:${http}/healthz`).then(
        ({ ok }) => ok,
        () => false,
      );
    await until('HTTP is answered again', answers, { timeoutMs: 60_000 });
  });
});
