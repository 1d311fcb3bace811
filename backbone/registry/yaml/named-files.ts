import { isUtf8 } from 'node:buffer';
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { clock } from '../../../core/clock.ts';
import { explain } from '../../../core/errors.ts';
import { codecFilesIn, type NamedFile } from '../../../telemetry/registry/file.ts';
import { LARGEST_CODEC, MOST_CODEC_TEXT } from '../../../telemetry/registry/things.ts';

/** A file that was written less than this before it was read may be written again without looking any different, ms. */
const FRESH_MS = 2_000;

interface KnownNamedFile {
  /** What tells that it is another one: time, size and number. */
  readonly looks: string;
  readonly file: NamedFile;
}

/** Reads the files that a registry's text names. What has not changed since the last time is not read again. */
export class NamedFiles {
  private hand: string | undefined;
  private names: readonly string[] = [];
  private known: ReadonlyMap<string, KnownNamedFile> = new Map();

  /** The files that the text `hand` of the registry at `path` names, by name. Never rejects. */
  async of(path: string, hand: string): Promise<ReadonlyMap<string, NamedFile>> {
    if (hand !== this.hand) this.names = codecFilesIn(hand);
    this.hand = hand;
    const read = new Map<string, KnownNamedFile>();
    let length = 0;
    for (const name of this.names) {
      const found = await this.read(resolve(dirname(path), name), this.known.get(name));
      length += 'text' in found.file ? found.file.text.length : 0;
      const tooLong = { looks: '', file: { why: `all codecs together may have ${MOST_CODEC_TEXT} characters` } };
      read.set(name, length > MOST_CODEC_TEXT ? tooLong : found);
    }
    this.known = read;
    return new Map([...read].map(([name, { file }]) => [name, file]));
  }

  private async read(path: string, known: KnownNamedFile | undefined): Promise<KnownNamedFile> {
    try {
      const found = await stat(path);
      // Reading a pipe waits for somebody to write to it.
      if (!found.isFile()) throw new Error('it is no file');
      if (found.size > LARGEST_CODEC) throw new Error(`it has more than ${LARGEST_CODEC} bytes`);
      const looks = `${found.mtimeMs} ${found.size} ${found.ino}`;
      if (known?.looks === looks) return known;
      const bytes = await readFile(path);
      if (!isUtf8(bytes)) throw new Error('it is not UTF-8');
      const file = { text: bytes.toString('utf8') };
      return { looks: clock.now() - found.mtimeMs < FRESH_MS ? '' : looks, file };
    } catch (error) {
      return { looks: '', file: { why: explain(error) } };
    }
  }
}

/** Those of `files` that the text names. */
export function filesNamedBy(hand: string, files: ReadonlyMap<string, NamedFile>): ReadonlyMap<string, NamedFile> {
  if (files.size === 0) return files;
  const names = new Set(codecFilesIn(hand));
  return new Map([...files].filter(([name]) => names.has(name)));
}
