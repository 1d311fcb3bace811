import { mkdir, readFile, realpath, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { replaceFile } from '../../core/replace-file.ts';
import type { Registry } from '../../telemetry/registry/registry.ts';
import { RegistryState } from '../../telemetry/registry/state.ts';
import { keepLastGood, lastGoodPath, readLastGood } from '../registry/yaml/last-good.ts';
import {
  AUTO_KINDS,
  autoPath,
  describeRegistryError,
  parseTexts,
  type RegistryTexts,
  readTexts,
  sameTexts,
} from '../registry/yaml/text.ts';
import { counted, type Keep, type KnownSensor, type RepairFinding } from './part.ts';

const PART = 'registry';

/** What a look at the registry found, and the one that is in force, if any. */
export interface RegistryPart {
  readonly findings: readonly RepairFinding[];
  readonly registry: Registry | undefined;
}

/** The texts of a registry that is whole, and what is in them. */
interface WholeRegistry {
  readonly texts: RegistryTexts;
  readonly registry: Registry;
}

/** Reads the registry's files and the last good ones beside them. */
export async function lookAtRegistry(path: string): Promise<RegistryPart> {
  const kept = await readLastGood(path);
  const good = kept && wholeOr(path, kept);
  let found: WholeRegistry;
  try {
    const texts = await readTexts(path);
    found = { texts, registry: registryOf(path, texts) };
  } catch (error) {
    const why = describeRegistryError(path, error);
    return { findings: [broken(path, why, good)], registry: good?.registry };
  }
  const { texts, registry } = found;
  const whole: RepairFinding = { part: PART, path, is: 'whole', text: `${inWords(registry)} are whole` };
  if (kept === undefined || sameTexts(kept, texts)) return { findings: [whole], registry };
  const told =
    good === undefined
      ? 'is no registry: the next start writes it anew, from the registry'
      : `is an earlier one (${inWords(good.registry)}): the registry was changed while Loam did not run, and the next start takes it as it is`;
  const note: RepairFinding = { part: PART, path: lastGoodPath(path), is: 'note', text: `the last good one ${told}` };
  return { findings: [whole, note], registry };
}

function broken(path: string, why: string, good: WholeRegistry | undefined): RepairFinding {
  if (good === undefined) {
    const text = `${why}. There is no last good one beside it: restore it from a copy; without it nobody can connect or sign in`;
    return { part: PART, path, is: 'damaged', text };
  }
  const { hand, auto = '', files } = good.texts;
  const ofFiles = [...files.values()].map((file) => ('text' in file ? file.text : ''));
  return {
    part: PART,
    path,
    is: 'damaged',
    text: `${why}. The last good one has ${inWords(good.registry)}, and was in force until now`,
    mend: {
      folder: dirname(path),
      bytes: [hand, auto, ...ofFiles].reduce((sum, text) => sum + Buffer.byteLength(text), 0),
      keeps: [path],
      run: async (keep) => {
        await putBack(path, good.texts, keep);
        return `the last good one was put in its place: ${inWords(good.registry)}`;
      },
    },
  };
}

async function putBack(path: string, texts: RegistryTexts, keep: Keep): Promise<void> {
  await putFile(autoPath(path), texts.auto, keep);
  for (const [name, file] of texts.files) {
    if ('text' in file) await putNamed(path, resolve(dirname(path), name), file.text, keep);
  }
  await putFile(path, texts.hand, keep);
  await keepLastGood(path, texts);
}

/** A file that the registry at `path` names. One that is as it is to be is left as it is. */
async function putNamed(path: string, file: string, text: string, keep: Keep): Promise<void> {
  if ((await readFile(file, 'utf8').catch(() => undefined)) === text) return;
  await mkdir(dirname(file), { recursive: true });
  await putFile(file, text, keep, path);
}

/** Of a link the file that it leads to is replaced, as at an edit. Without a text the file is taken away. */
async function putFile(path: string, text: string | undefined, keep: Keep, like = path): Promise<void> {
  const file = await realpath(path).catch(() => path);
  const isThere = await stat(file).then(
    () => true,
    () => false,
  );
  if (isThere) await keep(file);
  if (text === undefined) await rm(file, { force: true });
  else await replaceFile(file, text, isThere ? file : lastGoodPath(like));
}

/** Throws RegistryInvalid. */
function registryOf(path: string, texts: RegistryTexts): Registry {
  const read = parseTexts(path, texts, AUTO_KINDS);
  try {
    return RegistryState.of(read.things.map(({ kind, id, thing }) => ({ kind, id, value: thing })));
  } catch (error) {
    throw read.located(error);
  }
}

function wholeOr(path: string, texts: RegistryTexts): WholeRegistry | undefined {
  try {
    return { texts, registry: registryOf(path, texts) };
  } catch {
    return undefined;
  }
}

function inWords({ farms, sensorCount, users }: Registry): string {
  return [counted(farms.size, 'farm'), counted(sensorCount, 'sensor'), counted(users.size, 'user')].join(', ');
}

/** Whether the registry has a sensor; nobody can tell without one. */
export function knownIn(registry: Registry | undefined): KnownSensor {
  return ({ farm, sensor }) => registry && registry.sensor(farm, sensor) !== undefined;
}
