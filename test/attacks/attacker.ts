import { connect, type Socket } from 'node:net';
import { WebSocket } from 'ws';

/**
 * One attack, in a process of its own so that its CPU can be counted: `attacker.ts NAME MQTT-PORT HTTP-PORT COOKIE`. It goes
 * on until its standard input ends, and then prints one line of JSON: its cost.
 */
const [, , name = '', mqttPort = '', httpPort = '', cookie = ''] = process.argv;
const ADDRESSES = 8;
const post = (type: string, length: number) =>
  `POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`;
const guess = JSON.stringify({ user: 'vera', password: 'wrong' });
const text = (part: string) => Buffer.concat([Buffer.from([0, part.length]), Buffer.from(part)]);
const greeting = Buffer.concat([text('MQTT'), Buffer.from([4, 0xc2, 0, 60]), text('x'), text('x'), text('y')]);
const CONNECT = Buffer.concat([Buffer.from([0x10, greeting.length]), greeting]);

let connections = 0;
let bytes = 0;
let ended = false;
const begun = performance.now();
const usedBefore = process.cpuUsage();

function hold(port: string, address: number, say: string | Buffer, drip = ''): void {
  if (ended) return;
  const socket: Socket = connect({ port: Number(port), host: '127.0.0.1', localAddress: `127.0.5.${address}` });
  connections += 1;
  const send = (part: string | Buffer) => {
    bytes += part.length;
    socket.write(part);
  };
  const timer = drip === '' ? undefined : setInterval(send, 1_000, drip);
  socket.on('error', () => {});
  socket.resume();
  socket.once('connect', () => say.length > 0 && send(say));
  socket.once('close', () => {
    clearInterval(timer);
    setTimeout(hold, 50, port, address, say, drip);
  });
}

function many(count: number, port: string, say: string | Buffer = '', drip = ''): void {
  for (let i = 0; i < count; i++) hold(port, 1 + (i % ADDRESSES), say, drip);
}

function floodPings(): void {
  const socket = new WebSocket(`ws://127.0.0.1:${httpPort}/ws`, ['loam.v1'], { headers: { cookie } });
  connections += 1;
  let timer: NodeJS.Timeout | undefined;
  socket.on('open', () => {
    timer = setInterval(() => {
      for (let i = 0; i < 50; i++) socket.ping();
      bytes += 50 * 6;
    }, 5);
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    clearInterval(timer);
    if (!ended) setTimeout(floodPings, 50);
  });
}

const ATTACKS: Readonly<Record<string, () => void>> = {
  none: () => {},
  'silent MQTT sockets': () => many(2_000, mqttPort),
  'silent HTTP sockets': () => many(2_000, httpPort),
  'bodies that never come': () => many(512, httpPort, `${post('application/json', 100)}{`),
  'slow headers': () => many(512, httpPort, 'GET / HTTP/1.1\r\nHost: x\r\n', 'X-More: y\r\n'),
  'sign-in guessing': () => many(64, httpPort, post('application/json', guess.length) + guess),
  'ping floods': () => {
    for (let i = 0; i < 20; i++) floodPings();
  },
  'refused CONNECT floods': () => many(200, mqttPort, CONNECT),
  'eight exports at once': () =>
    many(8, httpPort, `GET /api/farms/north/export.csv HTTP/1.1\r\nHost: x\r\nCookie: ${cookie}\r\n\r\n`),
};

ATTACKS[name]?.();
process.stdin.resume();
process.stdin.once('end', () => {
  ended = true;
  const { user, system } = process.cpuUsage(usedBefore);
  const seconds = (performance.now() - begun) / 1_000;
  const cpu = (user + system) / 1e4 / seconds;
  const each = (count: number) => Math.round(count / seconds);
  process.stdout.write(
    `${JSON.stringify({ connections: each(connections), bytes: each(bytes), cpu: Math.round(cpu) })}\n`,
  );
  process.exit(0);
});
