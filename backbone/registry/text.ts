import { readFile } from 'node:fs/promises';
import { explain, RegistryInvalid } from '../../core/errors.ts';
import { parseRegistry, type Registry } from '../../telemetry/registry.ts';

/** The registry's file as text. Rejects with RegistryInvalid when it cannot be read. */
export async function readRegistryText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') throw new RegistryInvalid('is not there');
    throw new RegistryInvalid('cannot be read', { cause });
  }
}

/** Throws RegistryInvalid. A text without any farm or user was emptied by mistake, or is still to be written: it would lock everybody out. */
export function readRegistry(text: string): Registry {
  const registry = parseRegistry(text);
  if (registry.farms.size === 0 && registry.users.size === 0) {
    throw new RegistryInvalid('is empty: it has neither a farm nor a user');
  }
  return registry;
}

/** One line that names the file, the line in it and what is wrong. */
export function describeRegistryError(path: string, error: unknown): string {
  const line = error instanceof RegistryInvalid && error.line !== undefined ? `:${error.line}` : '';
  return `${path}${line}: ${explain(error)}`;
}
