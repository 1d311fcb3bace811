import { expect } from 'chai';
import { loadConfig } from '../../core/config.ts';
import { ConfigInvalid } from '../../core/errors.ts';
import { SETTINGS, type SettingName } from '../../core/settings.ts';
import { withoutCredentials, withoutSecrets } from '../../core/without-secrets.ts';

/** What a password may be, and none of it may be shown. Each has `hunter` before and after what is special. */
const PASSWORDS = [
  'hunter2',
  'hunter/hunter',
  'hunter#hunter',
  'hunter@hunter',
  'hunter?hunter',
  'hunter hunter',
  'hunter:hunter',
  'hunter%hunter',
  '12/hunter',
  '1#hunter',
  '1?a=hunter',
];
const SCHEMES = [
  'amqp',
  'amqps',
  'ampq',
  'influx',
  'influxs',
  'influxdb',
  'postgres',
  'postgresql',
  'postgre',
  'http',
  'https',
  'htp',
  'mqtt',
  'mqtts',
  'file',
  'duckdb',
  'lmdb',
];
const forms = (scheme: string, password: string) => [
  `${scheme}://user:${password}@host`,
  `${scheme}://user:${password}@host:99999/x`,
  `${scheme}:/user:${password}@host`,
  `${scheme}:user:${password}@host`,
  `${scheme}//user:${password}@host`,
  `${scheme}://us/er:${password}@host/x?y=1`,
  // Without a host, a part behind an @ is the host for whoever reads it, and digits are a port.
  ...(/@|^\d+[/?#]/.test(password) ? [] : [`${scheme}://user:${password}`]),
  ...[
    '?token=',
    '?Token=',
    '?pass=',
    '?sslpassword=',
    ';token=',
    '#token=',
    '?%74oken=',
    '#',
    '%3Ftoken=',
    '%23',
    '%3btoken=',
    '&token=',
  ].map((before) => `${scheme}://host/x${before}${password}`),
  `${scheme}://user%3A${password}%40host`,
  `${scheme}://${password}@host`,
  `${scheme}://host/x?u=a&password=${password}&y=1@z`,
  ` ${scheme}://user:${password}@host`,
];
const URLS = SCHEMES.flatMap((scheme) => PASSWORDS.flatMap((password) => forms(scheme, password)));
const names = Object.keys(SETTINGS) as SettingName[];
/** These are paths, and whatever is written there is one. */
const PATHS: ReadonlySet<SettingName> = new Set([
  'data',
  'tlsCert',
  'tlsKey',
  'tlsCa',
  'tlsCrl',
  'httpsCert',
  'httpsKey',
]);

describe('a password in a malformed URL', () => {
  for (const name of names.filter((one) => !PATHS.has(one))) {
    it(`is never in the refusal of ${SETTINGS[name].variable}, whatever the password and the fault`, () => {
      // Who gives a URL to a setting that takes none is not told the password either: there one scheme stands for all.
      const isUrl = /:/.test(SETTINGS[name].allowed);
      for (const url of isUrl ? URLS : URLS.slice(0, URLS.length / SCHEMES.length)) {
        for (const [options, env] of [
          [{ [name]: url }, {}],
          [{}, { [SETTINGS[name].variable]: url }],
        ]) {
          try {
            loadConfig(options, env);
          } catch (error) {
            expect(error).to.be.instanceOf(ConfigInvalid);
            expect(String(error), url).to.not.include('hunter');
          }
        }
      }
    });
  }

  it('that is taken is one of a server with everything in its place, or none', () => {
    const taken = names
      .filter((one) => ['registry', 'queue', 'log', 'store', 'rabbitmqApi', 'url', 'mqttAddress'].includes(one))
      .flatMap((name) =>
        URLS.flatMap((url) => {
          try {
            return [[url, String(loadConfig({ [name]: url })[name])] as const];
          } catch {
            return [];
          }
        }),
      )
      .filter(([, value]) => /^(amqp|influx|postgres)/.test(value));
    expect(taken.length).to.be.at.least(10);
    for (const [url, value] of taken) {
      if (url.includes('token=') || url.includes('password=')) continue;
      expect(new URL(value).host, url).to.match(/^(host(:\d+)?)$/);
      expect(withoutSecrets(value), url).to.not.include('hunter');
    }
  });

  it('leaves what is needed to find the fault', () => {
    expect(withoutCredentials('ampq://user:secret@host:5672/x')).to.equal('ampq://***@host:5672/x');
    expect(withoutCredentials('amqp:/user:secret@host')).to.equal('amqp:/***@host');
    expect(withoutCredentials('127.0.0.1:8080')).to.equal('127.0.0.1:8080');
    expect(withoutCredentials('http://host:80800/a')).to.equal('http://host:80800/a');
    expect(withoutCredentials('http://[::1]:8080')).to.equal('http://[::1]:8080');
    expect(withoutCredentials('file:/srv/loam/queue')).to.equal('file:/srv/loam/queue');
  });
});
