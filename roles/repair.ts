import { stat } from 'node:fs/promises';
import { NoRoom, type ReadRoom, statRoom } from '../backbone/files/file-system.ts';
import { KeptFolder } from '../backbone/repair/kept.ts';
import { bytesInWords, type MendStep, type OnRepair, type RepairFinding } from '../backbone/repair/part.ts';
import { knownIn, lookAtRegistry } from '../backbone/repair/registry-part.ts';
import { lookAtLog, lookAtQueue } from '../backbone/repair/segments-part.ts';
import { lookAtStore } from '../backbone/repair/store-part.ts';
import { clock } from '../core/clock.ts';
import type { Config } from '../core/config.ts';
import { explain } from '../core/errors.ts';
import { assertDataFolder, lockPlaces, type RepairPlaces, repairPlaces } from './repair-places.ts';
import { lookAtSecrets } from './repair-secrets.ts';
import { lookAtStrangers } from './repair-strangers.ts';

export interface RepairOptions {
  /** Without it nothing at all is changed. */
  readonly isMending: boolean;
  readonly onRepair: OnRepair;
  /** How much room there is; statfs unless told. */
  readonly readRoom?: ReadRoom;
  /** Makes the text that is written beside what was kept. */
  readonly inWords: (report: RepairReport) => string;
}

export interface RepairReport {
  readonly data: string;
  readonly findings: readonly RepairFinding[];
  /** What was done, to which finding. */
  readonly done: ReadonlyMap<RepairFinding, string>;
  /** The folder with everything as it was before; undefined when nothing was mended. */
  readonly kept: string | undefined;
  /** Why mending was broken off, with all after it as it was. */
  readonly brokenOff: string | undefined;
}

/** What a running of it had to leave damaged. */
export function leftDamaged({ findings, done }: RepairReport): readonly RepairFinding[] {
  return findings.filter((finding) => finding.is === 'damaged' && !done.has(finding));
}

/**
 * Looks at every file of an installation, and mends what is damaged when it is asked to. What it replaces, or takes away,
 * is kept in a folder of the data folder. Rejects with ConfigInvalid when Loam runs or the data folder is not there, and
 * with NoRoom when there is too little room to mend; nothing was changed then.
 */
export async function repair(config: Config, options: RepairOptions): Promise<RepairReport> {
  const places = repairPlaces(config);
  await assertDataFolder(places);
  const release = await lockPlaces(places, !options.isMending);
  try {
    // Made with a name when the first thing is kept.
    let making: Promise<KeptFolder> | undefined;
    const kept = () => {
      making ??= KeptFolder.at(places.data, new Date(clock.now()));
      return making;
    };
    const findings = await lookAtAll(config, places, kept, options.onRepair);
    const looked = { data: places.data, findings, done: new Map(), kept: undefined, brokenOff: undefined };
    const steps = findings.filter(({ mend }) => mend !== undefined);
    if (!options.isMending || steps.length === 0) return looked;
    await assertRoom(places.data, steps, options.readRoom ?? statRoom);
    return await mendAll(looked, await kept(), options);
  } finally {
    await release();
  }
}

async function lookAtAll(
  config: Config,
  places: RepairPlaces,
  kept: () => Promise<KeptFolder>,
  onRepair: OnRepair,
): Promise<RepairFinding[]> {
  const { registry, findings: ofRegistry } = await (places.registry === undefined
    ? { registry: undefined, findings: [] }
    : lookAtRegistry(places.registry));
  const look = { isKnown: knownIn(registry), onRepair };
  const findings: RepairFinding[] = [...(await lookAtStrangers(config, places, kept))];
  for (const { part, folder } of places.queues) findings.push(...(await lookAtQueue(part, folder, look)).findings);
  let liveSince: number | undefined;
  for (const { part, folder } of places.logs) {
    const { findings: ofLog, found } = await lookAtLog(part, folder, look);
    findings.push(...ofLog);
    if (part === 'live log') liveSince = found?.oldest;
  }
  if (places.store !== undefined) findings.push(...(await lookAtStore(places.store, { ...look, liveSince })));
  findings.push(...ofRegistry, ...(await lookAtSecrets(config, registry, kept)));
  return findings;
}

async function mendAll(looked: RepairReport, kept: KeptFolder, options: RepairOptions): Promise<RepairReport> {
  const done = new Map<RepairFinding, string>();
  const so = (brokenOff?: string): RepairReport => ({ ...looked, done, kept: kept.path, brokenOff });
  for (const finding of looked.findings) {
    const { mend } = finding;
    if (mend === undefined) continue;
    options.onRepair(`mending ${finding.path}`);
    try {
      done.set(finding, await mend.run((path) => kept.keep(path)));
    } catch (error) {
      const report = so(`${finding.path}: ${explain(error)}`);
      // On a full disk not even this can be written; it is printed all the same.
      await kept.note(options.inWords(report)).catch(() => {});
      return report;
    }
  }
  const report = so();
  try {
    await kept.note(options.inWords(report));
    return report;
  } catch (error) {
    return so(`README.txt: ${explain(error)}`);
  }
}

/** Room that is not counted by the byte: names, the report, and what a file system takes for itself. */
const SPARE = 2 * 2 ** 20;

/** Rejects with NoRoom, before anything is changed, when what is to be written does not fit. */
async function assertRoom(data: string, findings: readonly RepairFinding[], readRoom: ReadRoom): Promise<void> {
  const needed = new Map<number, { folder: string; bytes: number }>();
  const add = async (folder: string, bytes: number) => {
    const { dev } = await stat(folder);
    const known = needed.get(dev);
    needed.set(dev, { folder: known?.folder ?? folder, bytes: (known?.bytes ?? SPARE) + bytes });
  };
  await add(data, 0);
  for (const { mend } of findings) if (mend) await add(mend.folder, mend.bytes);
  // What is kept takes room only where it comes from another file system.
  for (const { mend } of findings) if (mend) await add(data, await fromElsewhere(data, mend));
  for (const { folder, bytes } of needed.values()) {
    const { free } = await readRoom(folder);
    if (free >= bytes) continue;
    throw new NoRoom(
      `${bytesInWords(bytes)} are needed on the file system of ${folder}, and ${bytesInWords(free)} are left: make room there; nothing was changed`,
    );
  }
}

async function fromElsewhere(data: string, { folder, keeps }: MendStep): Promise<number> {
  if ((await stat(folder)).dev === (await stat(data)).dev) return 0;
  const sizes = await Promise.all(
    keeps.map(async (path) => {
      const found = await stat(path).catch(() => undefined);
      return found?.size ?? 0;
    }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
