import { realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { replaceFile } from '../../core/replace-file.ts';
import type { Registry } from '../../telemetry/registry.ts';
import { keepLastGood, lastGood, lastGoodPath, readLastGood } from '../registry/last-good.ts';
import { describeRegistryError, readRegistry, readRegistryText } from '../registry/text.ts';
import { counted, type Keep, type KnownSensor, type RepairFinding } from './part.ts';

const PART = 'registry';

/** What a look at the registry found, and the one that is in force, if any. */
export interface RegistryPart {
  readonly findings: readonly RepairFinding[];
  readonly registry: Registry | undefined;
}

/** Reads the registry's file and the last good one beside it. */
export async function lookAtRegistry(path: string): Promise<RegistryPart> {
  const good = await lastGood(path);
  const copy = lastGoodPath(path);
  let registry: Registry;
  let text: string;
  try {
    text = await readRegistryText(path);
    registry = readRegistry(text);
  } catch (error) {
    const why = describeRegistryError(path, error);
    return { findings: [broken(path, why, good)], registry: good?.registry };
  }
  const whole: RepairFinding = { part: PART, path, is: 'whole', text: `${inWords(registry)} are whole` };
  const kept = await readLastGood(path);
  if (kept === text || kept === undefined) return { findings: [whole], registry };
  const told =
    good === undefined
      ? 'is no registry: the next start writes it anew, from the registry'
      : `is an earlier one (${inWords(good.registry)}): the registry was changed while Loam did not run, and the next start takes it as it is`;
  return { findings: [whole, { part: PART, path: copy, is: 'note', text: `the last good one ${told}` }], registry };
}

function broken(
  path: string,
  why: string,
  good: { readonly text: string; readonly registry: Registry } | undefined,
): RepairFinding {
  if (good === undefined) {
    const text = `${why}. There is no last good one beside it: restore it from a copy; without it nobody can connect or sign in`;
    return { part: PART, path, is: 'damaged', text };
  }
  const bytes = Buffer.byteLength(good.text);
  return {
    part: PART,
    path,
    is: 'damaged',
    text: `${why}. The last good one has ${inWords(good.registry)}, and was in force until now`,
    mend: {
      folder: dirname(path),
      bytes,
      keeps: [path],
      run: async (keep) => {
        await putBack(path, good.text, keep);
        return `the last good one was put in its place: ${inWords(good.registry)}`;
      },
    },
  };
}

/** Of a link the file that it leads to is replaced, as at an edit. */
async function putBack(path: string, text: string, keep: Keep): Promise<void> {
  const file = await realpath(path).catch(() => path);
  const isThere = await stat(file).then(
    () => true,
    () => false,
  );
  if (isThere) await keep(file);
  await replaceFile(file, text, isThere ? file : lastGoodPath(path));
  await keepLastGood(path, text);
}

function inWords({ farms, sensors, users }: Registry): string {
  return [counted(farms.size, 'farm'), counted(sensors.length, 'sensor'), counted(users.size, 'user')].join(', ');
}

/** Whether the registry has a sensor; nobody can tell without one. */
export function knownIn(registry: Registry | undefined): KnownSensor {
  return ({ farm, sensor }) => registry && registry.sensor(farm, sensor) !== undefined;
}
