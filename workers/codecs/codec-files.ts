import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { clock } from '../../core/clock.ts';
import { explain } from '../../core/errors.ts';
import { type CodecInput, type CodecOutcome, type Codecs, MAX_CODEC_BYTES } from './codec.ts';
import type { Sandbox } from './sandbox.ts';

/** For this long a file counts as unchanged and is not looked at again, ms. */
const TRUST_MS = 2_000;
/** Most files remembered. The registry names few of them; at this limit all are forgotten and read again. */
const MOST_FILES = 1_000;

interface KnownFile {
  readonly changed: number;
  readonly size: number;
  readonly source: string;
  looked: number;
}

/**
 * The codecs in files beside the registry. A changed file is read again within seconds: mend it, then replay. Files are read without giving
 * way: only a decode thread waits.
 */
export class CodecFiles implements Codecs {
  private readonly folder: string;
  private readonly sandbox: Sandbox;
  private readonly known = new Map<string, KnownFile>();

  /** `folder` is the registry's. */
  constructor(folder: string, sandbox: Sandbox) {
    this.folder = folder;
    this.sandbox = sandbox;
  }

  decode(file: string, input: CodecInput): CodecOutcome {
    let codec: KnownFile;
    try {
      codec = this.read(file);
    } catch (error) {
      return { why: `the codec ${file} cannot be read: ${explain(error)}` };
    }
    return this.sandbox.run(codec.source, input);
  }

  private read(file: string): KnownFile {
    const known = this.known.get(file);
    if (known && clock.passed() - known.looked < TRUST_MS) return known;
    const path = resolve(this.folder, file);
    const found = statSync(path);
    // Reading a pipe waits for somebody to write to it.
    if (!found.isFile()) throw new Error('it is no file');
    const { mtimeMs: changed, size } = found;
    if (known?.changed === changed && known.size === size) {
      known.looked = clock.passed();
      return known;
    }
    if (size > MAX_CODEC_BYTES) throw new Error(`it has more than ${MAX_CODEC_BYTES} bytes`);
    const source = readFileSync(path, 'utf8');
    if (this.known.size >= MOST_FILES) this.known.clear();
    const read = { changed, size, source, looked: clock.passed() };
    this.known.set(file, read);
    return read;
  }
}
