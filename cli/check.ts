import { Disks } from '../backbone/files/disk.ts';
import { isEmbedded, openLog, openQueue, openStore, registryFile } from '../backbone/open.ts';
import { LIVE_LOG_LIMITS } from '../backbone/ports/log.ts';
import { lastGoodPath } from '../backbone/registry/yaml/last-good.ts';
import type { Config } from '../core/config.ts';
import { explain } from '../core/errors.ts';
import { silent } from '../core/logger.ts';
import { withoutSecrets } from '../core/without-secrets.ts';
import { isThere, prepareDataFolder } from '../roles/data-folder.ts';
import { refuseLost } from '../roles/first-registry.ts';
import { opened } from '../roles/ports.ts';
import { embeddedFolders, pathOf } from '../roles/room-to-start.ts';
import { KeptSecretKey } from '../roles/secret-key.ts';
import { inWords, policiesOf, usesRabbit } from '../roles/server-policies.ts';
import { type Options, settingsOf } from './options.ts';
import { print } from './output.ts';
import { withRegistry } from './registry.ts';

/** `loam check`: prints one line for each thing a role needs, `ok` or what is wrong. The exit code is 0 or 2. */
export async function checkCommand(options: Options): Promise<void> {
  const config = settingsOf(options);
  const results = [
    await line('settings', async () => 'every value is allowed'),
    await line('data folder', () => checkFolder(config)),
    await line('disk', () => checkRoom(config)),
    await line('registry', () => checkRegistry(config)),
    await line('queue', () => checkPort('LOAM_QUEUE', config.queue, () => openQueue(config.queue))),
    await line('log', () => checkPort('LOAM_LOG', config.log, () => openLog(config.log, 'live', LIVE_LOG_LIMITS))),
    ...(usesRabbit(config) ? [await checkPolicies(config)] : []),
    await line('store', () => checkPort('LOAM_STORE', config.store, () => openStore(config.store))),
  ];
  process.exitCode = results.every(Boolean) ? 0 : 2;
}

async function line(what: string, test: () => Promise<string>): Promise<boolean> {
  try {
    print(`ok      ${what}: ${await test()}\n`);
    return true;
  } catch (error) {
    print(`FAILED  ${what}: ${explain(error)}\n`);
    return false;
  }
}

async function checkFolder(config: Config): Promise<string> {
  await prepareDataFolder(config);
  return `${config.data} can be written`;
}

async function checkRoom(config: Config): Promise<string> {
  const folders = [
    config.data,
    ...embeddedFolders(config),
    ...(config.spool === undefined ? [] : [pathOf(config.spool)]),
  ];
  const told = await new Disks({ reserve: config.diskReserve }).told(folders);
  const low = told.filter(({ isLow }) => isLow);
  const text = (low.length > 0 ? low : told).map(({ text }) => text).join('; ');
  if (low.length > 0) throw new Error(text);
  return text;
}

async function checkRegistry(config: Config): Promise<string> {
  const file = registryFile(config.registry);
  if (file !== undefined && !(await isThere(file)) && !(await isThere(lastGoodPath(file)))) {
    await refuseLost(config);
    return `${file} is not there yet; \`loam up\` writes one`;
  }
  return await withRegistry(config, async (registry) => {
    const why = registry.health().find(({ ok }) => !ok)?.why;
    if (why !== undefined) throw new Error(why);
    const key = await KeptSecretKey.open(config, registry, silent);
    const off = key.health().find(({ ok }) => !ok)?.why;
    if (off !== undefined) throw new Error(off);
    const { farms, sensorCount, users } = registry.current();
    return `${farms.size} farms, ${sensorCount} sensors, ${users.size} users`;
  });
}

/** Without an answer it is not ok, and not wrong either. */
async function checkPolicies(config: Config): Promise<boolean> {
  try {
    const harms = await policiesOf(config);
    return await line('policies', async () => {
      if (harms.length > 0) throw new Error(harms.map(inWords).join('; '));
      return 'no policy of RabbitMQ deletes what was acknowledged';
    });
  } catch (error) {
    print(`unknown policies: ${explain(error)}\n`);
    return true;
  }
}

async function checkPort(
  setting: string,
  url: string,
  open: () => Promise<{ close(): Promise<void> }>,
): Promise<string> {
  // The files of an embedded adapter belong to one process, which may be running now: so they are not opened.
  if (isEmbedded(url)) return `${url} is embedded`;
  const port = await opened(setting, url, open);
  await port.close();
  return `${withoutSecrets(url)} answers`;
}
