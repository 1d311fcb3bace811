import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { ConfigInvalid, explain } from '../core/errors.ts';
import { ENCODINGS, encodingOf, type FileEncoding } from '../telemetry/logger-files/encoding.ts';
import { type TextLine, textLines } from '../telemetry/logger-files/lines.ts';
import { type FileRecord, records } from '../telemetry/logger-files/records.ts';
import { type FileTable, type TableWishes, tableOf } from '../telemetry/logger-files/table.ts';

/** The form of a file is found in so many of its first lines. */
const FIRST_LINES = 200;

export interface FileWishes extends TableWishes {
  readonly encoding?: string | undefined;
}

/** A file to import. `digest` is the SHA-256 of its bytes, in hex. */
export interface ImportFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly digest: string;
  readonly encoding: FileEncoding;
  readonly table: FileTable;
}

/** Finds how a file is written and where its data begins. Rejects with ConfigInvalid when it cannot be read, or is no table. */
export async function openImportFile(path: string, wishes: FileWishes): Promise<ImportFile> {
  const encoding = ENCODINGS.find((one) => one === wishes.encoding?.toLowerCase());
  if (wishes.encoding !== undefined && encoding === undefined) {
    const allowed = ENCODINGS.join(', ');
    throw new ConfigInvalid('--encoding', `--encoding: got ${JSON.stringify(wishes.encoding)}, allowed: ${allowed}`);
  }
  try {
    const { size } = await stat(path);
    const written = encoding ?? (await encodingOf(chunksOf(path)));
    const first: TextLine[] = [];
    for await (const line of textLines(chunksOf(path), written)) if (first.push(line) >= FIRST_LINES) break;
    const table = tableOf(first, wishes);
    return { path, size, digest: await digestOf(path), encoding: written, table };
  } catch (cause) {
    if (cause instanceof ConfigInvalid) throw cause;
    throw new ConfigInvalid('<file>', `<file>: ${path} cannot be read: ${explain(cause)}`, { cause });
  }
}

/** The lines of a file's data, read as fast as they are taken. `isData`: see `records`. */
export function recordsOf(
  { path, encoding, table }: ImportFile,
  isData: (cells: readonly string[]) => boolean,
): AsyncGenerator<FileRecord> {
  const { delimiter, columns, head, headLines } = table;
  const rules = { delimiter, width: columns.length, head, headLines, isData };
  return records(textLines(chunksOf(path), encoding), rules);
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of chunksOf(path)) hash.update(chunk);
  return hash.digest('hex');
}

async function* chunksOf(path: string): AsyncGenerator<Uint8Array> {
  const chunks: AsyncIterable<Uint8Array> = createReadStream(path);
  yield* chunks;
}
