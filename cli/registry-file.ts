import { resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { registryFile } from '../backbone/open.ts';
import type { RegistryPort } from '../backbone/ports/registry.ts';
import { lastGoodPath } from '../backbone/registry/yaml/last-good.ts';
import {
  AUTO_KINDS,
  describeRegistryError,
  type ReadTexts,
  readTexts,
  thingsIn,
} from '../backbone/registry/yaml/text.ts';
import type { Config } from '../core/config.ts';
import { ConfigInvalid, explain } from '../core/errors.ts';
import { replaceFile } from '../core/replace-file.ts';
import { createRegistry, isThere } from '../roles/data-folder.ts';
import { refuseLost } from '../roles/first-registry.ts';
import { MOST_KEYED } from '../telemetry/registry/keyed.ts';
import { RegistryState } from '../telemetry/registry/state.ts';
import { registryText } from '../telemetry/registry/text.ts';
import { type Options, settingsOf } from './options.ts';
import { print, printError, printExactly } from './output.ts';
import { lookIntoRegistry, refusedBy, WHO, withRegistry } from './registry.ts';
import { partsOf, planOf, type RegistryPlan, verifyPlan } from './registry-plan.ts';

/**
 * `loam registry export`: everything as YAML, to standard output or into a file for its owner's eyes only. Equal
 * registries have equal texts, wherever they are kept.
 */
export async function exportRegistry(file: string | undefined, options: Options): Promise<void> {
  const config = settingsOf(options);
  const own = registryFile(config.registry);
  if (file !== undefined && own !== undefined && resolve(own) === resolve(file)) {
    throw new ConfigInvalid('[file]', `[file]: ${file} is the registry itself, and would lose its comments`);
  }
  const { text, keyed } = await lookIntoRegistry(config, (registry) => ({
    text: registryText(registry.things()),
    keyed: registry.keyed,
  }));
  if (file === undefined) printExactly(text);
  else await written(file, text);
  if (keyed.length === 0) return;
  const more = keyed.length < MOST_KEYED ? '' : ', and maybe others';
  printError(`loam: of use with the same LOAM_SECRET_KEY only: ${keyed.join(', ')}${more}\n`);
}

/**
 * `loam registry import`: puts everything that a file has into the registry; what the file does not have stays. Where
 * the registry is a file that is not there yet, it is made.
 */
export async function importRegistry(file: string, options: Options): Promise<void> {
  const config = settingsOf(options);
  const read = await readGiven(file);
  if (await isMissing(config)) return await importAsNew(config, file, read);
  await withRegistry(config, async (registry) => {
    const plan = checkedPlan(registry, file, read, false);
    // Whatever the registry has by now, what is in the file wins.
    await carryOut(config, registry, { ...plan, edits: plan.edits.map((edit) => ({ ...edit, seen: undefined })) });
    const { added, changed } = plan;
    print(plan.edits.length === 0 ? 'Everything in it is there already.\n' : `${added} added, ${changed} changed.\n`);
  });
}

/** `loam registry diff`: what `apply` would do. The exit code is 0 when that is nothing, otherwise 1. */
export async function diffRegistry(file: string, options: Options): Promise<void> {
  const read = await readGiven(file);
  await withRegistry(settingsOf(options), async (registry) => {
    const plan = checkedPlan(registry, file, read, options.prune === true);
    tell(plan);
    process.exitCode = plan.edits.length === 0 ? 0 : 1;
  });
}

/**
 * `loam registry apply`: says what it will do, asks on a terminal, and does it. What was changed by others after it was
 * said is a conflict, and is not overwritten.
 */
export async function applyRegistry(file: string, options: Options): Promise<void> {
  const config = settingsOf(options);
  const read = await readGiven(file);
  await withRegistry(config, async (registry) => {
    const plan = checkedPlan(registry, file, read, options.prune === true);
    tell(plan);
    if (plan.edits.length === 0) return;
    if (options.yes !== true && !(await agreed())) {
      print('Nothing was changed.\n');
      process.exitCode = 1;
      return;
    }
    await carryOut(config, registry, plan);
    print('Done.\n');
  });
}

async function written(file: string, text: string): Promise<void> {
  try {
    await replaceFile(file, text);
  } catch (cause) {
    throw new ConfigInvalid('[file]', `[file]: cannot write ${file}: ${explain(cause)}`, { cause });
  }
  print(`${file} is written.\n`);
}

async function readGiven(file: string): Promise<ReadTexts> {
  try {
    return thingsIn(file, await readTexts(file), AUTO_KINDS);
  } catch (cause) {
    throw wrongFile(file, cause);
  }
}

function wrongFile(file: string, cause: unknown): ConfigInvalid {
  return new ConfigInvalid('<file>', `<file>: ${describeRegistryError(file, cause)}`, { cause });
}

async function isMissing({ registry }: Config): Promise<boolean> {
  const own = registryFile(registry);
  return own !== undefined && !(await isThere(own)) && !(await isThere(lastGoodPath(own)));
}

async function importAsNew(config: Config, file: string, { things, located }: ReadTexts): Promise<void> {
  await refuseLost(config);
  try {
    RegistryState.of(things.map(({ kind, id, thing }) => ({ kind, id, value: thing })));
  } catch (cause) {
    throw wrongFile(file, located(cause));
  }
  if (!things.some(({ kind }) => kind === 'farm' || kind === 'user')) {
    throw new ConfigInvalid('<file>', `<file>: ${file} has neither a farm nor a user: nobody could sign in`);
  }
  const path = registryFile(config.registry) ?? '';
  await createRegistry(path, registryText(things));
  print(`${path} is written: ${things.length} things.\n`);
}

function checkedPlan(registry: RegistryPort, file: string, { things, located }: ReadTexts, prune: boolean) {
  const plan = planOf(registry.current(), things, prune);
  try {
    verifyPlan(registry.current(), plan);
  } catch (cause) {
    throw wrongFile(file, located(cause));
  }
  return plan;
}

function tell(plan: RegistryPlan): void {
  for (const line of plan.lines) print(`${line}\n`);
  const staying = plan.staying === 0 ? '' : ` ${plan.staying} that are not in the file stay (--prune removes them).`;
  const { added, changed, removed } = plan;
  const counts = `${added} to add, ${changed} to change, ${removed} to remove.`;
  print(plan.edits.length === 0 ? `Nothing is different.${staying}\n` : `${counts}${staying}\n`);
}

/** Asks on a terminal. Rejects with ConfigInvalid where there is none. */
async function agreed(): Promise<boolean> {
  if (!process.stdin.isTTY) throw new ConfigInvalid('--yes', '--yes: is needed where nobody can be asked');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return ['y', 'yes'].includes((await terminal.question('Do this? (y/N) ')).trim().toLowerCase());
  } finally {
    terminal.close();
  }
}

/** A file takes all edits at once, a server takes them in parts: then a part is all or none, and the rest can follow later. */
async function carryOut(config: Config, registry: RegistryPort, { edits }: RegistryPlan): Promise<void> {
  const isFile = registryFile(config.registry) !== undefined;
  const parts = isFile ? [edits] : [...partsOf(registry.current(), edits)];
  let done = 0;
  for (const part of parts) {
    try {
      await registry.apply(part, WHO);
    } catch (cause) {
      const before = done === 0 ? '' : `${done} of ${edits.length} things are in, and the same command goes on: `;
      throw refusedBy(config, cause, before);
    }
    done += part.length;
    if (parts.length > 1) printError(`${done} of ${edits.length} things are in\n`);
  }
}
