import { readFile } from 'node:fs/promises';
import { RegistryFiles } from '../../backbone/registry/yaml/files.ts';
import { differences, parseRegistry, readThings } from '../../telemetry/registry/file.ts';
import type { Change, Edit, Registry, RegistryEditor, RegistryView } from '../../telemetry/registry/registry.ts';

/** Makes in a registry the edits that lead from its file's text to `change` of that, in the name of `test`. */
export async function editText(
  registry: RegistryEditor,
  path: string,
  change: (text: string) => string,
): Promise<void> {
  const text = await readFile(path, 'utf8');
  await registry.apply(differences(parseRegistry(text), readThings(change(text)).things), 'test');
}

/** A registry in memory that a test can change. */
export class Book implements RegistryView {
  private readonly state;
  private readonly listeners = new Set<(changes: readonly Change[]) => void>();

  constructor(yaml: string) {
    this.state = parseRegistry(yaml);
  }
  current(): Registry {
    return this.state;
  }
  watch(listener: (changes: readonly Change[]) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
  /** Makes it what this text says. */
  change(yaml: string): void {
    const changes = this.state.check(differences(this.state, readThings(yaml).things));
    this.state.apply(changes);
    for (const listener of this.listeners) listener(changes);
  }
}

/** Edits a registry's file in this thread, as a command does: the file is not followed. */
export async function editFile(path: string, ...edits: readonly Edit[]): Promise<void> {
  const files = new RegistryFiles({
    path,
    autoKinds: [],
    once: true,
    changed: () => {},
    refused: () => {},
    say: () => {},
  });
  await files.open();
  await files.apply(edits, 'test');
}
