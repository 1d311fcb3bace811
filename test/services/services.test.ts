import { createServer as createHttpServer } from 'node:http';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { type ChannelModel, connect } from 'amqplib';
import { expect } from 'chai';
import { chromium } from './chromium.ts';
import { type InfluxServer, influx, startInflux } from './influx.ts';
import { itIfLong } from './length.ts';
import { startProxy, type Proxy as TcpProxy } from './proxy.ts';
import { type RabbitServer, rabbit, startRabbit } from './rabbitmq.ts';
import { freePort, listening, until } from './wait.ts';

describe('test services: RabbitMQ', function () {
  this.timeout(120_000);
  let server: RabbitServer;

  before(async () => {
    server = await startRabbit();
  });
  after(() => server.close());

  it('says its version and obeys rabbitmqctl', async () => {
    expect(await server.version()).to.match(/^\d+\.\d+/);
    expect(await server.ctl('-q', 'list_vhosts')).to.include('/');
  });

  itIfLong('keeps confirmed messages over stop and start, on the same port', async () => {
    await send(server, 'stopped', 'kept');
    await server.stop();
    expect(await refuses(server.port)).to.equal(true);
    await server.start();
    expect(await take(server, 'stopped')).to.equal('kept');
  });

  itIfLong('keeps confirmed messages over kill and start', async () => {
    await send(server, 'killed', 'kept');
    // A quorum queue's own registration reaches the disk about a second after it was declared, not with its messages.
    await server.ctl('-q', 'eval', '[ok = dets:sync(Table) || Table <- dets:all()].');
    await server.kill();
    expect(await refuses(server.port)).to.equal(true);
    await server.start();
    expect(await take(server, 'killed')).to.equal('kept');
  });

  it('is a node apart from the shared one', async () => {
    const other = await rabbit();
    expect(await rabbit()).to.equal(other);
    await send(server, 'mine', 'here');
    const mine = await server.ctl('-q', 'list_queues', 'name');
    const missing = await withConnection(other, async (connection) => {
      const channel = await connection.createChannel();
      channel.on('error', () => {});
      return await channel.checkQueue('mine').catch((error: unknown) => error);
    });
    expect(mine).to.include('mine');
    expect(missing).to.include({ code: 404 });
  });

  itIfLong('takes more configuration, and leaves nothing behind when closed', async () => {
    const small = await startRabbit({ config: 'channel_max = 7\nvm_memory_high_watermark.absolute = 300MB' });
    const settings = await small.ctl('eval', 'application:get_all_env(rabbit).');
    await small.close();
    expect(settings).to.match(/channel_max,\s*7/);
    expect(settings).to.match(/vm_memory_high_watermark,\s*\{absolute,\s*"300MB"/);
    expect(await refuses(small.port)).to.equal(true);
  });
});

describe('test services: InfluxDB', () => {
  let server: InfluxServer;

  before(async () => {
    server = await startInflux();
    await server.createDatabase('farm');
  });
  after(() => server.close());

  it('says its version and where its store is', async () => {
    expect(await server.version()).to.match(/^v?\d+\.\d+/);
    expect(server.storeUrl('farm')).to.equal(`influx://127.0.0.1:${server.port}/farm`);
  });

  itIfLong('keeps points over stop and start, on the same port', async () => {
    await writeTo(server, 'stopped value=1 1000');
    await server.stop();
    expect(await refuses(server.port)).to.equal(true);
    await server.start();
    expect(await server.query('farm', 'SELECT value FROM stopped')).to.have.nested.property('results[0].series');
  });

  it('keeps points over kill and start', async () => {
    await writeTo(server, 'killed value=1 1000');
    await server.kill();
    expect(await refuses(server.port)).to.equal(true);
    await server.start();
    expect(await server.query('farm', 'SELECT value FROM killed')).to.have.nested.property('results[0].series');
  });

  it('rejects a query that the server could not answer', async () => {
    expect(await server.query('nowhere', 'SELECT value FROM x').catch(() => 'rejected')).to.equal('rejected');
  });

  it('is a server apart from the shared one', async () => {
    const other = await influx();
    expect(await influx()).to.equal(other);
    await server.createDatabase('mine');
    expect(JSON.stringify(await server.query('', 'SHOW DATABASES'))).to.include('"mine"');
    expect(JSON.stringify(await other.query('', 'SHOW DATABASES'))).not.to.include('"mine"');
  });
});

describe('test services: the proxy', () => {
  let echo: Server;
  let proxy: TcpProxy;
  const sockets: Socket[] = [];

  before(async () => {
    const port = await freePort();
    echo = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).pipe(socket));
    await new Promise<void>((resolve) => echo.listen(port, '127.0.0.1', resolve));
    proxy = await startProxy(port);
  });
  after(async () => {
    for (const socket of sockets) {
      socket.destroy();
    }
    await proxy.close();
    await new Promise((resolve) => echo.close(resolve));
  });

  function dial(): Dialled {
    const socket = createConnection(proxy.port, '127.0.0.1').on('error', () => {});
    sockets.push(socket);
    const dialled: Dialled = { socket, heard: '', closed: false };
    socket.on('data', (chunk) => {
      dialled.heard += chunk.toString();
    });
    socket.on('close', () => {
      dialled.closed = true;
    });
    return dialled;
  }

  it('passes bytes both ways, to the last one before an end', async () => {
    const long = 'reading '.repeat(200_000);
    const socket = createConnection({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true });
    socket.end(long);
    const answer = await text(socket);
    expect(answer === long, 'what came back is what was sent').to.equal(true);
  });

  it('cut ends every connection and refuses new ones until restore', async () => {
    const before = dial();
    before.socket.write('x');
    await until('the echo', () => before.heard === 'x');
    proxy.cut();
    await until('the connection to end', () => before.closed);
    const during = dial();
    during.socket.write('x');
    await until('the new connection to end', () => during.closed);
    expect(during.heard).to.equal('');
    proxy.restore();
    const after = dial();
    after.socket.write('x');
    await until('the echo', () => after.heard === 'x');
  });

  it('freeze holds bytes back and connections open, new ones too, until thaw', async () => {
    const old = dial();
    old.socket.write('1');
    await until('the echo', () => old.heard === '1');
    proxy.freeze();
    const fresh = dial();
    old.socket.write('2');
    fresh.socket.write('2');
    const quiet = await until('silence to end', () => old.heard !== '1' || fresh.heard !== '', {
      timeoutMs: 200,
    }).catch(() => 'quiet');
    expect(quiet).to.equal('quiet');
    expect([old.closed, fresh.closed]).to.deep.equal([false, false]);
    proxy.thaw();
    await until('the held bytes', () => old.heard === '12' && fresh.heard === '2');
  });
});

describe('test services: Chromium', () => {
  itIfLong('renders a page served on loopback', async () => {
    const site = createHttpServer((_, response) => {
      response.setHeader('content-type', 'text/html');
      response.end('<p id="a"></p><script>document.getElementById("a").textContent = 6 * 7</script>');
    });
    const port = await freePort();
    await new Promise<void>((resolve) => site.listen(port, '127.0.0.1', resolve));
    const page = await (await chromium()).newPage();
    await page.goto(`http://127.0.0.1:${port}/`);
    expect(await page.textContent('#a')).to.equal('42');
    await page.close();
    site.closeAllConnections();
    await new Promise((resolve) => site.close(resolve));
  });
});

describe('test services: waiting', () => {
  it('resolves to what the probe finds, past errors', async () => {
    let asked = 0;
    const found = await until('the third answer', () => {
      asked += 1;
      if (asked === 1) {
        throw new Error('not yet');
      }
      return asked === 3 ? 'found' : undefined;
    });
    expect(found).to.equal('found');
  });

  it('names what it waited for, and the last error, when time is up', async () => {
    const cause = new Error('the probe failed');
    const failing = () => {
      throw cause;
    };
    const error = await until('a thing', failing, { timeoutMs: 50 }).catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(Error).with.property('cause', cause);
    expect(error).property('message').to.include('a thing').and.to.include('the probe failed');
  });

  it('is not held up by a probe that hangs', async () => {
    const hanging = () => new Promise<undefined>(() => {});
    const error = await until('a thing', hanging, { timeoutMs: 50 }).catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(Error);
  });
});

interface Dialled {
  socket: Socket;
  heard: string;
  closed: boolean;
}

function refuses(port: number): Promise<boolean> {
  return listening(port).then(
    () => false,
    () => true,
  );
}

async function withConnection<T>(server: RabbitServer, use: (connection: ChannelModel) => Promise<T>): Promise<T> {
  const connection = await connect(server.url);
  connection.on('error', () => {});
  try {
    return await use(connection);
  } finally {
    await connection.close();
  }
}

async function send(server: RabbitServer, queue: string, message: string): Promise<void> {
  await withConnection(server, async (connection) => {
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    channel.sendToQueue(queue, Buffer.from(message), { persistent: true });
    await channel.waitForConfirms();
  });
}

async function take(server: RabbitServer, queue: string): Promise<string> {
  return await withConnection(server, async (connection) => {
    const channel = await connection.createChannel();
    const message = await until(`a message in ${queue}`, () => channel.get(queue, { noAck: true }));
    return message.content.toString();
  });
}

async function writeTo(server: InfluxServer, line: string): Promise<void> {
  const answer = await fetch(`${server.url}/write?db=farm&precision=ms`, { method: 'POST', body: line });
  expect(answer.status).to.equal(204);
}
