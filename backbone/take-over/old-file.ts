import { type Database, open } from 'lmdb';

/** An LMDB file as earlier versions wrote it: bytes by number, and JSON values by key. */
export interface OldFile {
  /** In order of their numbers; each is a copy. */
  bodies(table: string): Iterable<readonly [number, Buffer]>;
  firstOf(table: string): number | undefined;
  lastOf(table: string): number | undefined;
  values(table: string): Iterable<readonly [number, unknown]>;
  value(table: string, key: string): unknown;
  close(): Promise<void>;
}

/** Opens the file for reading only; nothing in it is changed. Throws the error of the file system or of LMDB. */
export function openOldFile(path: string): OldFile {
  const root = open({ path, noSubdir: true, readOnly: true });
  // A table that was never written is not there, and cannot be made in a file that is only read.
  const numbered = (name: string): Database<Buffer, number> | undefined =>
    tables.has(name) ? root.openDB<Buffer, number>({ name, encoding: 'binary' }) : undefined;
  const tables = new Set([...root.getKeys()].map(String));
  const edge = (name: string, reverse: boolean) => [...(numbered(name)?.getKeys({ limit: 1, reverse }) ?? [])][0];
  return {
    *bodies(name) {
      for (const { key, value } of numbered(name)?.getRange() ?? []) yield [key, Buffer.from(value)];
    },
    firstOf: (name) => edge(name, false),
    lastOf: (name) => edge(name, true),
    *values(name) {
      if (!tables.has(name)) return;
      for (const { key, value } of root.openDB<unknown, number>({ name, encoding: 'json' }).getRange())
        yield [key, value];
    },
    value: (name, key) =>
      tables.has(name) ? root.openDB<unknown, string>({ name, encoding: 'json' }).get(key) : undefined,
    close: () => root.close(),
  };
}
