import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { loadConfig, unknownVariables } from '../../core/config.ts';
import { ConfigInvalid } from '../../core/errors.ts';
import { Networks } from '../../core/networks.ts';
import { SETTINGS, type SettingName } from '../../core/settings.ts';
import { temporaryFolder } from '../services/wait.ts';

const names = (Object.keys(SETTINGS) as string[]).filter((name): name is SettingName => name in SETTINGS);

function refusal(options: Record<string, string>, env: Record<string, string> = {}): ConfigInvalid {
  try {
    loadConfig(options, env);
  } catch (error) {
    if (error instanceof ConfigInvalid) return error;
    throw error;
  }
  throw new Error('the settings were taken');
}

describe('config', () => {
  it('is complete when nothing is set', () => {
    const data = resolve('data');
    expect(loadConfig({}, {})).to.deep.equal({
      data,
      registry: join(data, 'registry.yaml'),
      queue: `file:${join(data, 'queue')}`,
      log: `file:${join(data, 'log')}`,
      store: `duckdb:${join(data, 'readings.duckdb')}`,
      diskReserve: { share: 0.02 },
      mqttHost: '127.0.0.1',
      mqttPort: 1883,
      mqttsPort: undefined,
      mqttWsPort: undefined,
      mqttWssPort: undefined,
      tlsCert: undefined,
      tlsKey: undefined,
      tlsCa: undefined,
      tlsCrl: undefined,
      mqttConnections: 20_000,
      mqttConnectionsPerAddress: 10_000,
      httpHost: '127.0.0.1',
      httpPort: 8080,
      httpsCert: undefined,
      httpsKey: undefined,
      trustedProxies: new Networks(),
      publicUrl: undefined,
      firstSignInFrom: new Networks(),
      mqttAddress: undefined,
      opsHost: '127.0.0.1',
      opsPort: 9464,
      spool: undefined,
      spoolMb: 1_024,
      payloadKb: 256,
      decodeMs: 1_000,
      rabbitmqApi: undefined,
      sessionKey: undefined,
      secretKey: undefined,
      url: 'http://127.0.0.1:8080',
      token: undefined,
      demo: true,
      sources: true,
      logLevel: 'info',
    });
  });

  it('keeps everything in the data folder that is set, wherever that was said', () => {
    for (const config of [loadConfig({}, { LOAM_DATA: '/var/loam' }), loadConfig({ data: '/var/loam' }, {})]) {
      expect(config.registry).to.equal('/var/loam/registry.yaml');
      expect(config.queue).to.equal('file:/var/loam/queue');
      expect(config.store).to.equal('duckdb:/var/loam/readings.duckdb');
    }
  });

  it('makes relative folders absolute', () => {
    expect(loadConfig({ data: 'x/../y', registry: 'r.yaml' }, {})).to.include({
      data: resolve('y'),
      registry: resolve('r.yaml'),
    });
  });

  it('prefers an option to its variable, and both to the default', () => {
    const env = { LOAM_MQTT_PORT: '1', LOAM_HTTP_PORT: '2' };
    expect(loadConfig({ mqttPort: '3' }, env)).to.include({ mqttPort: 3, httpPort: 2, opsPort: 9464 });
  });

  it('takes an empty variable as one that is not set', () => {
    expect(loadConfig({}, { LOAM_MQTT_PORT: '', LOAM_SESSION_KEY: '' })).to.include({
      mqttPort: 1883,
      rabbitmqApi: undefined,
      sessionKey: undefined,
      secretKey: undefined,
    });
  });

  it('takes an empty option as a wrong value', () => {
    expect(refusal({ mqttPort: '' }).setting).to.equal('LOAM_MQTT_PORT');
  });

  it('does not read another environment than the one given', () => {
    expect(loadConfig({}, {}).data).to.equal(resolve('data'));
  });

  it('takes the values at the edge of what is allowed', () => {
    expect(loadConfig({ mqttPort: '0', httpPort: '65535' }, {})).to.include({ mqttPort: 0, httpPort: 65_535 });
    expect(loadConfig({ mqttHost: '::', httpHost: 'farm-1.example_x.org' }, {}).mqttHost).to.equal('::');
    expect(loadConfig({ sessionKey: 'k'.repeat(32) }, {}).sessionKey).to.have.length(32);
    expect(loadConfig({ demo: 'false', logLevel: 'silent' }, {})).to.include({ demo: false, logLevel: 'silent' });
    expect(loadConfig({ diskReserve: '1%' }, {}).diskReserve).to.deep.equal({ share: 0.01 });
    expect(loadConfig({ diskReserve: '16MB' }, {}).diskReserve).to.deep.equal({ bytes: 16e6 });
    expect(loadConfig({ diskReserve: '2.5GB' }, {}).diskReserve).to.deep.equal({ bytes: 2.5e9 });
    expect(loadConfig({ store: 'influxs://h:8086/loam?org=o&token=t' }, {}).store).to.match(/token=t$/);
  });
});

describe('a wrong value of a setting', () => {
  const wrong: Record<SettingName, string[]> = {
    data: [],
    registry: [],
    queue: ['rabbit', 'amqp:', 'http://h', 'file', 'FILE:x', ' file:x'],
    log: ['duckdb:x', 'kafka://h'],
    rabbitmqApi: ['amqp://u:p@h', 'http://h:15672', 'http://u@h:15672', 'http://u:p@', 'http://u:p@h:15672?x'],
    store: ['file:x', 'influx', 'http://h:8086'],
    spool: ['amqp://x', 'spool'],
    spoolMb: ['0', '1000001', '1.5', 'x'],
    payloadKb: ['0', '1025', '1.5', '64 KiB', '-1'],
    decodeMs: ['0', '10000000', '1.5', 'x'],
    diskReserve: ['0.5%', '51%', '15MB', '1TB', '500', '-1GB', '1e3MB', '5 %', '1000001GB', 'MB', '%'],
    mqttHost: ['a b', 'mqtt://h', 'h/x', '[::1]'],
    mqttPort: ['65536', '-1', '1.5', '1e3', 'x', ' 1', '0x10', '٣'],
    mqttsPort: ['on'],
    mqttWsPort: ['65536'],
    mqttWssPort: ['-1'],
    tlsCert: [],
    tlsKey: [],
    tlsCa: [],
    tlsCrl: [],
    mqttConnections: ['0', '-1', 'all', '10000000'],
    mqttConnectionsPerAddress: ['0', '1.5'],
    httpHost: ['http://h'],
    httpPort: ['99999'],
    httpsCert: [],
    httpsKey: [],
    trustedProxies: ['proxy.example', '10.0.0.1,', '10.0.0.0/33', '10.1', '*'],
    publicUrl: [
      'loam.example',
      'ftp://loam.example',
      'https://loam.example/base',
      'https://u:p@loam.example',
      'https://a b',
    ],
    firstSignInFrom: ['host', '10.0.0.0/33', '*'],
    mqttAddress: ['broker:1883', 'mqtt://broker', 'http://broker:1883', 'mqtt://u:p@broker:1883'],
    opsHost: ['*'],
    opsPort: ['off'],
    sessionKey: ['k'.repeat(31), 'change-me-session-key-of-32-characters-or-more'],
    secretKey: ['k'.repeat(31), `${'k'.repeat(32)},`, `${'k'.repeat(32)},short`],
    url: ['127.0.0.1:8080', 'ftp://h', 'http://h/api', 'http://'],
    token: ['t'.repeat(31), 'ä'.repeat(40), `${'t'.repeat(40)}\n`],
    sources: ['yes', '1', 'TRUE'],
    demo: ['yes', '1', 'TRUE'],
    logLevel: ['verbose', 'INFO'],
  };
  for (const name of names) {
    const { variable, option, allowed } = SETTINGS[name];
    for (const value of wrong[name]) {
      it(`names ${variable}, what was given and what is allowed: ${JSON.stringify(value)}`, () => {
        for (const error of [refusal({ [name]: value }), refusal({}, { [variable]: value })]) {
          expect(error).to.include({ code: 'CONFIG_INVALID', advice: 'tell-user', setting: variable });
          expect(error.message).to.include(variable);
          expect(error.message).to.include(option.split(' ')[0]);
          expect(error.message).to.include(allowed);
          if (name !== 'sessionKey' && name !== 'secretKey' && name !== 'token' && !value.includes('@'))
            expect(error.message).to.include(JSON.stringify(value));
        }
      });
    }
  }

  it('never shows a session key or a token', () => {
    const key = 'a short secret';
    for (const name of ['sessionKey', 'secretKey', 'token'])
      expect(refusal({ [name]: key }).message).to.not.include(key);
  });

  it('never shows the user, the password or the token in a URL that is malformed', () => {
    const wrongUrls: Partial<Record<SettingName, string>> = {
      queue: 'amq://fay:p4ss@h/',
      log: 'amq://fay:p4/ss@h',
      rabbitmqApi: 'https://fay:p4ss@h:15672/?page=1',
      store: 'influxx://h:8086/loam?org=o&token=p4ss&x=1',
      spool: 'amqp://fay:p4ss@h',
      mqttAddress: 'mqtt://fay:p4ss@h:1883',
      url: 'http://fay:p4@ss@h/x',
    };
    for (const [name, url] of Object.entries(wrongUrls)) {
      const { message } = refusal({ [name]: url });
      expect(message).to.include('***');
      expect(message, name).to.not.match(/fay|p4|ss@/);
    }
  });
});

describe('settings', () => {
  it('have a variable named after the option', () => {
    expect(SETTINGS.mqttPort).to.include({ variable: 'LOAM_MQTT_PORT', option: '--mqtt-port <port>' });
    for (const name of names) {
      const word = name.replace(/[A-Z]/g, (capital) => `-${capital.toLowerCase()}`);
      expect(SETTINGS[name].option).to.match(new RegExp(`^--${word} <[^>]+>$`));
      expect(SETTINGS[name].variable).to.equal(`LOAM_${word.replaceAll('-', '_').toUpperCase()}`);
    }
  });

  it('are told from variables that are none', () => {
    const env = { LOAM_DATA: 'x', LOAM_MQTT_PROT: '1', LOAM_TEST_RABBITMQ: 'x', LOAMY: 'x', PATH: 'x', loam_data: 'x' };
    expect(unknownVariables(env)).to.deep.equal(['LOAM_MQTT_PROT']);
    expect(unknownVariables(Object.fromEntries(names.map((n) => [SETTINGS[n].variable, ''])))).to.deep.equal([]);
    const files = { ...Object.fromEntries(names.map((n) => [`${SETTINGS[n].variable}_FILE`, ''])), LOAM_TOKN_FILE: '' };
    expect(unknownVariables(files)).to.deep.equal(['LOAM_TOKN_FILE']);
  });
});

describe('settings in files', () => {
  let folder: string;

  before(async () => {
    folder = await temporaryFolder();
  });

  const KEY = 'a key of many characters and more';

  /** The path of a new file. */
  async function file(content: string | Uint8Array): Promise<string> {
    const path = join(folder, randomUUID());
    await writeFile(path, content);
    return path;
  }

  it('are taken as they stand in a file, each setting, without the last line end', async () => {
    for (const end of ['', '\n', '\r\n']) {
      expect(loadConfig({}, { LOAM_SESSION_KEY_FILE: await file(`${KEY} ${end}`) }).sessionKey).to.equal(`${KEY} `);
    }
    const values = {
      ...{ data: '/d', registry: '/r', queue: 'file:q', log: 'file:l', rabbitmqApi: 'http://u:p@h', store: 'duckdb:s' },
      ...{
        spool: 'file:s',
        diskReserve: '3%',
        trustedProxies: '10.0.0.1',
        publicUrl: 'https://h',
        firstSignInFrom: '10.0.0.0/8',
        mqttAddress: 'mqtt://h:1',
        url: 'http://h',
      },
      ...{ sessionKey: KEY, secretKey: KEY, token: 't'.repeat(32), sources: 'false', demo: 'false', logLevel: 'warn' },
      ...{ mqttHost: 'h', httpHost: 'h', opsHost: 'h' },
    };
    for (const name of names) {
      const value = name in values ? Object.entries(values).find(([of]) => of === name)?.[1] : '77';
      const { variable } = SETTINGS[name];
      const inFile = loadConfig({}, { [`${variable}_FILE`]: await file(`${value}\n`) });
      expect(inFile, name).to.deep.equal(loadConfig({}, { [variable]: value }));
    }
  });

  it('give way to an option, and an empty variable is none', async () => {
    const env = {
      LOAM_MQTT_PORT_FILE: await file('7'),
      LOAM_TOKEN_FILE: '',
      LOAM_QUEUE: '',
      LOAM_QUEUE_FILE: await file('file:/q'),
    };
    expect(loadConfig({}, env)).to.include({ mqttPort: 7, token: undefined, queue: 'file:/q' });
    expect(loadConfig({ mqttPort: '8' }, env).mqttPort).to.equal(8);
  });

  it('are refused by name when the variable is set, too', async () => {
    const error = refusal({}, { LOAM_TOKEN: 't'.repeat(32), LOAM_TOKEN_FILE: await file('t'.repeat(32)) });
    expect(error.setting).to.equal('LOAM_TOKEN_FILE');
    expect(error.message)
      .to.match(/LOAM_TOKEN\b(?!_).*only one/)
      .and.not.include('ttt');
  });

  it('are refused by name and place when the file is missing, no file, empty, long, or no line of text', async () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const bad: [string, RegExp][] = [
      [join(folder, 'nowhere'), /cannot read.*there is no|ENOENT/],
      [folder, /no file/],
      [pipe, /no file/],
      ['/dev/zero', /no file/],
      [await file(''), /is empty/],
      [await file('\n'), /is empty/],
      [await file(`${'k'.repeat(40)}\n\n`), /more than one line/],
      [await file(`-----BEGIN PRIVATE KEY-----\n${'k'.repeat(40)}\n`), /more than one line/],
      [await file(`${'k'.repeat(40)}\0`), /more than one line/],
      [await file(Buffer.from([0xff, 0xfe, ...Buffer.from('k'.repeat(40))])), /UTF-8/],
      [await file('k'.repeat(16_385)), /more than 16384 bytes/],
    ];
    for (const [path, why] of bad) {
      const error = refusal({}, { LOAM_SECRET_KEY_FILE: path });
      expect(error, path).to.include({ code: 'CONFIG_INVALID', setting: 'LOAM_SECRET_KEY_FILE' });
      expect(error.message).to.match(why).and.include(`LOAM_SECRET_KEY_FILE`).and.include(path);
      expect(error.message).to.not.include('kkk');
    }
    expect(loadConfig({}, { LOAM_SECRET_KEY_FILE: await file('k'.repeat(16_384)) }).secretKey).to.have.length(16_384);
  });

  it('are never shown, whatever they are', async () => {
    for (const name of names) {
      if (['data', 'registry', 'tlsCert', 'tlsKey', 'tlsCa', 'tlsCrl', 'httpsCert', 'httpsKey'].includes(name))
        continue;
      const { variable, allowed } = SETTINGS[name];
      const error = refusal({}, { [`${variable}_FILE`]: await file('s3cret * text') });
      expect(error.setting).to.equal(`${variable}_FILE`);
      expect(error.message).to.include('13 characters').and.include(allowed).and.not.include('s3cret');
    }
  });
});
