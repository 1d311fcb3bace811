import { readdirSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { aptCanInstall, aptInstall } from './apt.ts';
import { temporaryFolder } from './wait.ts';

const LIBRARY = 'libfaketimeMT.so.1';

/** The wall clock of programs that are started with `env`, which a test sets while they run. Their monotonic clocks stay right. */
export class FakeTime {
  readonly env: Readonly<Record<string, string>>;
  private readonly file: string;

  private constructor(library: string, file: string) {
    this.file = file;
    this.env = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_CACHE_DURATION: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    };
  }

  /** `offset` is what libfaketime takes, such as `-2h`. Rejects when libfaketime is not there and cannot be installed. */
  static async at(offset: string): Promise<FakeTime> {
    if (library() === undefined && (await aptCanInstall())) await aptInstall('faketime', []);
    const found = library();
    if (found === undefined) throw new Error('libfaketime is not installed. Debian/Ubuntu: apt-get install faketime');
    const time = new FakeTime(found, join(await temporaryFolder(), 'faketime'));
    await time.set(offset);
    return time;
  }

  /** The programs see it a second later. */
  async set(offset: string): Promise<void> {
    await writeFile(`${this.file}.new`, `${offset}\n`);
    await rename(`${this.file}.new`, this.file);
  }
}

function library(): string | undefined {
  const folders = ['/usr/lib', ...(entriesOf('/usr/lib') ?? []).map((name) => `/usr/lib/${name}`)];
  for (const folder of folders) {
    if (entriesOf(join(folder, 'faketime'))?.includes(LIBRARY)) return join(folder, 'faketime', LIBRARY);
  }
  return undefined;
}

function entriesOf(folder: string): string[] | undefined {
  try {
    return readdirSync(folder);
  } catch {
    return undefined;
  }
}
