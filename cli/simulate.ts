import { ConfigInvalid } from '../core/errors.ts';
import { createLogger } from '../core/logger.ts';
import { type SimulateProgress, simulate } from '../simulators/simulate.ts';
import { demoSecretsPath, readCredentials } from './data-folder.ts';
import { type Options, positive, settingsOf, text } from './options.ts';

/**
 * `loam simulate`: publishes as every sensor of a secrets file until it is told to stop or its time is over, then prints the totals.
 * Exits 0 when every publish was acknowledged, 1 when one was not.
 */
export async function simulateCommand(options: Options): Promise<void> {
  const config = settingsOf(options);
  const log = createLogger(config.logLevel);
  const url = mqttUrl(text(options, 'mqtt') ?? '');
  const file = text(options, 'secrets') ?? demoSecretsPath(config);
  const credentials = await readCredentials(file);
  if (!credentials) {
    throw new ConfigInvalid(
      '--secrets',
      `--secrets: ${file} is not there; the first \`loam up\` writes one for its demo farm`,
    );
  }
  const intervalMs = positive('--interval', text(options, 'interval') ?? '') * 1000;
  const time = text(options, 'for');
  const ending = new AbortController();
  const stop = () => ending.abort();
  process.once('SIGINT', stop).once('SIGTERM', stop);

  const totals = await simulate({
    url,
    credentials,
    intervalMs,
    signal: ending.signal,
    log,
    onProgress: (progress) =>
      process.stderr.write(
        `${process.stderr.isTTY ? '\r\x1b[K' : ''}${sentence(progress)}${process.stderr.isTTY ? '' : '\n'}`,
      ),
    ...(time === undefined ? {} : { forMs: positive('--for', time) * 1000 }),
  });
  if (process.stderr.isTTY) process.stderr.write('\n');
  process.stdout.write(`${sentence(totals)}\n`);
  process.exitCode = totals.failed === 0 && totals.acknowledged === totals.published && totals.published > 0 ? 0 : 1;
}

function sentence({ sensors, connected, published, acknowledged, failed, refused }: SimulateProgress): string {
  const counts = `${connected} of ${sensors} sensors connected, ${published} published, ${acknowledged} acknowledged, ${failed} failed`;
  return refused === undefined ? counts : `${counts}; the broker refuses a sensor: ${refused}`;
}

function mqttUrl(given: string): string {
  if (URL.canParse(given) && /^mqtts?:$/.test(new URL(given).protocol)) return given;
  throw new ConfigInvalid('--mqtt', `--mqtt: got ${JSON.stringify(given)}, allowed: mqtt://HOST:PORT`);
}
