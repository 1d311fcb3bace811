import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { explain } from '../../core/errors.ts';
import {
  CODEC_LIMITS,
  type CodecInput,
  type CodecLimits,
  type CodecOutcome,
  type Codecs,
  MAX_CODEC_BYTES,
} from './codec.ts';
import { CodecThread } from './codec-thread.ts';

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

/** The codecs in files beside the registry. A changed file is read again within seconds: mend it, then replay. */
export class CodecFiles implements Codecs {
  private readonly folder: string;
  private readonly thread: CodecThread;
  private readonly known = new Map<string, KnownFile>();

  /** `registry` is the path of the registry's file. */
  constructor(registry: string, limits: CodecLimits = CODEC_LIMITS) {
    this.folder = dirname(resolve(registry));
    this.thread = new CodecThread(limits);
  }

  async decode(file: string, input: CodecInput): Promise<CodecOutcome> {
    let codec: KnownFile;
    try {
      codec = await this.read(file);
    } catch (error) {
      return { why: `the codec ${file} cannot be read: ${explain(error)}` };
    }
    return await this.thread.run(codec.source, input);
  }

  close(): Promise<void> {
    return this.thread.close();
  }

  private async read(file: string): Promise<KnownFile> {
    const known = this.known.get(file);
    if (known && performance.now() - known.looked < TRUST_MS) return known;
    const path = resolve(this.folder, file);
    const { mtimeMs: changed, size } = await stat(path);
    if (known?.changed === changed && known.size === size) {
      known.looked = performance.now();
      return known;
    }
    if (size > MAX_CODEC_BYTES) throw new Error(`it has more than ${MAX_CODEC_BYTES} bytes`);
    const source = await readFile(path, 'utf8');
    if (this.known.size >= MOST_FILES) this.known.clear();
    const read = { changed, size, source, looked: performance.now() };
    this.known.set(file, read);
    return read;
  }
}
