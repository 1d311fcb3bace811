import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { type CsvError, parse } from 'csv-parse';
import { parse as parseText } from 'csv-parse/sync';
import { ConfigInvalid, explain } from '../core/errors.ts';

/** A line of the file: its texts by column name. `cells` is undefined when it cannot be read; `why` is the reason. */
export interface CsvLine {
  readonly number: number;
  readonly cells: Readonly<Record<string, string>> | undefined;
  readonly why: string;
  /** Bytes of the file up to here. */
  readonly bytes: number;
}

const DELIMITERS = [';', '\t', ','];
const MOST_HEADER = 64 * 1024;
const MOST_RECORD = 1024 * 1024;

/** What the file's first line says, and the size of the file in bytes. */
export interface CsvShape {
  readonly delimiter: string;
  readonly columns: readonly string[];
  readonly size: number;
}

/** Reads the file's first line: which character separates columns, and their names. Rejects with ConfigInvalid. */
export async function shapeOf(path: string, delimiter?: string): Promise<CsvShape> {
  let text: string;
  let size: number;
  try {
    const file = await open(path);
    try {
      size = (await file.stat()).size;
      const { buffer, bytesRead } = await file.read(Buffer.alloc(MOST_HEADER), 0, MOST_HEADER, 0);
      text = buffer.toString('utf8', 0, bytesRead).replace(/^\uFEFF/, '');
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new ConfigInvalid('<file>', `<file>: ${path} cannot be read: ${explain(cause)}`, { cause });
  }
  const header = text.split(/\r?\n/, 1)[0] ?? '';
  const unquoted = header.replace(/"[^"]*"/g, '');
  const found = delimiter ?? DELIMITERS.find((one) => unquoted.includes(one)) ?? ',';
  const columns = columnsOf(header, found);
  return { delimiter: found, columns, size };
}

function columnsOf(header: string, delimiter: string): string[] {
  try {
    const [names = []]: string[][] = parseText(header, { delimiter, trim: true });
    return names;
  } catch (cause) {
    throw new ConfigInvalid('<file>', `<file>: its first line does not name columns: ${explain(cause)}`, { cause });
  }
}

/** The lines after the first, read as fast as they are taken. A line that is no CSV comes too, with the reason. */
export async function* linesOf(path: string, { delimiter }: CsvShape): AsyncGenerator<CsvLine> {
  const broken: CsvLine[] = [];
  const file = Readable.from(withLineFeeds(createReadStream(path, 'utf8')));
  const parser = parse({
    bom: true,
    columns: (header: string[]) => header.map((name) => name.trim()),
    delimiter,
    info: true,
    max_record_size: MOST_RECORD,
    relax_column_count: false,
    skip_empty_lines: true,
    skip_records_with_error: true,
    trim: true,
  });
  parser.on('skip', (error: CsvError | undefined) => {
    const number = Number(error?.lines ?? parser.info.lines);
    broken.push({ number, cells: undefined, why: explain(error), bytes: parser.info.bytes });
  });
  // If the file can no longer be read, the loop below must end.
  file.on('error', (error) => parser.destroy(error));
  try {
    for await (const { record, info } of file.pipe(parser)) {
      yield* broken.splice(0);
      yield { number: info.lines, cells: record, why: '', bytes: info.bytes };
    }
    yield* broken.splice(0);
  } finally {
    file.destroy();
  }
}

/** The same text with LF in place of CR LF: inside quotes the parser would count CR LF as two lines. */
async function* withLineFeeds(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let held = '';
  for await (const chunk of chunks) {
    const text = held + chunk;
    held = text.endsWith('\r') ? '\r' : '';
    yield text.slice(0, text.length - held.length).replaceAll('\r\n', '\n');
  }
  yield held;
}
