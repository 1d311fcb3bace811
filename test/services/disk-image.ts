import { spawnSync } from 'node:child_process';
import { mkdir, readFile, rm, statfs, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { atEnd } from './cleanup.ts';
import { output } from './process.ts';
import { temporaryFolder, until } from './wait.ts';

export type DiskKind = 'ext4' | 'xfs';

/** XFS makes none smaller than 300 MB. */
const SMALLEST_XFS_MB = 320;
/** What is there besides the image on the disk below it, MB. */
const BELOW_MB = 96;

/** What a power cut leaves: no write reaches the disk any more, and the file system's own log is not flushed. */
const SHUTDOWN = `use Fcntl; sysopen(my $f, $ARGV[0], O_RDONLY) or die "open: $!"; my $how = pack("L", 2);
ioctl($f, 0x8004587d, $how) or die "ioctl: $!"`;

let reason: { readonly why: string | undefined } | undefined;

/** Why no disk can be made here of which the tests decide how it fails; undefined where one can. Tries it once, which takes a moment. */
export function whyNoDisks(): string | undefined {
  reason ??= { why: tryIt() };
  return reason.why;
}

function tryIt(): string | undefined {
  if (process.platform !== 'linux') return 'this is not Linux';
  if (process.getuid?.() !== 0) return 'this is not root';
  const script = `set -e; d=$(mktemp -d); trap 'umount "$d/m" 2>/dev/null || true; rm -rf "$d"' EXIT; mkdir "$d/m"
for tool in perl fallocate chattr fstrim e2fsck; do command -v $tool; done
truncate -s 16M "$d/i"; mkfs.ext4 -q -F "$d/i"; mount -o loop "$d/i" "$d/m"
echo 0 > "/sys/fs/ext4/$(basename "$(findmnt -no SOURCE "$d/m")")/mb_stats"; chattr +i "$d/m"; chattr -i "$d/m"
perl -e '${SHUTDOWN}' "$d/m"`;
  const tried = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
  if (tried.status === 0) return undefined;
  return `no file system can be made and mounted (${tried.stderr.trim().split('\n').at(-1) ?? tried.error?.message})`;
}

/** Whether an XFS can be made, too. */
export function hasXfs(): boolean {
  return whyNoDisks() === undefined && spawnSync('mkfs.xfs', ['-V']).status === 0;
}

/**
 * A real file system on a disk that does what a test says: it is an image, mounted by the loop driver, in a file on
 * another file system, which is in memory. To be used as root, where `whyNoDisks` gives no reason against it. It is
 * unmounted when the run is over, whatever ends it but SIGKILL.
 *
 * The disk below has no more than the blocks in use of the image, so it can be full while the image is not.
 */
export class DiskImage {
  readonly kind: DiskKind;
  /** Where it is mounted. */
  readonly folder: string;
  private readonly root: string;
  private readonly memory: string;
  private readonly below: string;
  private readonly image: string;
  private readonly forget: () => void;

  private constructor(kind: DiskKind, root: string) {
    this.kind = kind;
    this.root = root;
    this.memory = join(root, 'memory');
    this.below = join(root, 'below');
    this.folder = join(root, 'disk');
    this.image = join(this.below, 'image');
    this.forget = atEnd({ end: () => this.close(), exit: () => this.unmountNow() });
  }

  /** Makes one and mounts it. Rejects with what the system said. */
  static async make(kind: DiskKind, megabytes: number): Promise<DiskImage> {
    const disk = new DiskImage(kind, await temporaryFolder());
    await disk.begin(Math.max(megabytes, kind === 'xfs' ? SMALLEST_XFS_MB : 0));
    return disk;
  }

  /** In bytes, for anybody. */
  async free(): Promise<number> {
    return await freeOf(this.folder);
  }

  /** Takes all of the room but `leave` bytes of it. */
  async fill(leave: number): Promise<void> {
    await fillUp(join(this.folder, 'ballast'), leave);
  }

  async makeRoom(): Promise<void> {
    await rm(join(this.folder, 'ballast'), { force: true, recursive: true });
  }

  /** Takes every inode: there is room, and no new file can be made. */
  async takeInodes(): Promise<void> {
    const folder = join(this.folder, 'ballast');
    await mkdir(folder);
    // More than there are of them: `touch` fails at the rest.
    await output('sh', ['-c', 'cd "$1"; seq 1 8192 | xargs -n 500 touch 2>/dev/null || true', 'sh', folder]);
  }

  /** The disk below is full: blocks that were not in use before cannot be written, and the next sync says so. */
  async fillBelow(): Promise<void> {
    await fillUp(join(this.below, 'ballast'), 0);
  }

  async makeRoomBelow(): Promise<void> {
    await rm(join(this.below, 'ballast'), { force: true, recursive: true });
  }

  /** From now on every write to the disk is an I/O error. */
  async failWrites(): Promise<void> {
    await output('chattr', ['+i', this.image]);
  }

  async takeWrites(): Promise<void> {
    await output('chattr', ['-i', this.image]);
  }

  /** The file system finds itself damaged, and takes no more writes until it is mounted anew. Ext4 only. */
  async becomeReadOnly(): Promise<void> {
    const device = await output('findmnt', ['-no', 'SOURCE', this.folder]);
    await writeFile(`/sys/fs/ext4/${basename(device.trim())}/trigger_fs_error`, '1');
  }

  /** What was not synced is gone, and everything fails, until `mountAnew`. */
  async cutPower(): Promise<void> {
    await output('perl', ['-e', SHUTDOWN, this.folder]);
  }

  /** Whether something can be written and synced. */
  async isWritable(): Promise<boolean> {
    const path = join(this.folder, 'written');
    return await writeFile(path, 'x', { flush: true }).then(
      () => true,
      () => false,
    );
  }

  /** Unmounts it, checks it, and mounts it. Nobody may have it open for long. */
  async mountAnew(): Promise<void> {
    await until('nobody has a file open there', () => this.unmount(this.folder), { timeoutMs: 60_000 });
    if (this.kind === 'ext4') await checked(this.image);
    await this.mount();
  }

  /** Unmounts it. Where somebody has a file open there for long, rejects, and takes it out of sight. */
  async close(): Promise<void> {
    this.forget();
    await output('chattr', ['-i', this.image]).catch(() => {});
    try {
      for (const folder of [this.folder, this.below, this.memory]) {
        if (!(await isMountPoint(folder))) continue;
        await until(`${folder} to be unmounted`, () => this.unmount(folder), { timeoutMs: 60_000 });
      }
    } catch (error) {
      this.unmountNow();
      throw error;
    }
    await rm(this.root, { recursive: true, force: true });
  }

  private async begin(megabytes: number): Promise<void> {
    for (const folder of [this.memory, this.below, this.folder]) await mkdir(folder, { recursive: true });
    const lower = join(this.memory, 'image');
    await output('mount', ['-t', 'tmpfs', '-o', `size=${megabytes + 2 * BELOW_MB}m`, 'none', this.memory]);
    await writeFile(lower, '');
    await truncate(lower, (megabytes + BELOW_MB) * 2 ** 20);
    await output('mkfs.ext4', ['-q', '-F', '-m', '0', '-O', '^has_journal', lower]);
    await output('mount', ['-o', 'loop', lower, this.below]);
    await writeFile(this.image, '');
    await truncate(this.image, megabytes * 2 ** 20);
    const lazy = ['-E', 'lazy_itable_init=0,lazy_journal_init=0'];
    // As few inodes as there can be use up their number soon.
    if (this.kind === 'ext4') await output('mkfs.ext4', ['-q', '-F', '-m', '0', '-N', '2048', ...lazy, this.image]);
    else await output('mkfs.xfs', ['-q', '-f', this.image]);
    // The disk below has every block of the image, and is given back those that are free there: tables and log are not.
    await output('fallocate', ['-l', String(megabytes * 2 ** 20), this.image]);
    await this.mount();
    await output('fstrim', [this.folder]);
  }

  private async mount(): Promise<void> {
    const options = this.kind === 'ext4' ? 'loop,discard,errors=remount-ro' : 'loop,discard';
    await output('mount', ['-t', this.kind, '-o', options, this.image, this.folder]);
  }

  private async unmount(folder: string): Promise<true> {
    await output('umount', [folder]);
    return true;
  }

  private unmountNow(): void {
    spawnSync('chattr', ['-i', this.image]);
    for (const folder of [this.folder, this.below, this.memory]) spawnSync('umount', ['-l', folder]);
  }
}

/** Repairs what it can without being asked, as at the start of a machine. */
async function checked(image: string): Promise<void> {
  const { status, stdout, error } = spawnSync('e2fsck', ['-p', image], { encoding: 'utf8' });
  // 1: something was repaired.
  if (status !== 0 && status !== 1) throw new Error(`the file system cannot be repaired: ${error ?? stdout}`);
}

async function freeOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** Others write meanwhile: so the last bytes are taken by a writer that stops when there are none. */
async function fillUp(folder: string, leave: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  const most = Math.max(0, (await freeOf(folder)) - Math.max(leave, 2 ** 20));
  if (most > 0) await output('fallocate', ['-l', String(most), join(folder, 'most')]).catch(() => {});
  if (leave > 0) return;
  for (const size of ['64k', '4k', '512']) {
    spawnSync('dd', ['if=/dev/zero', `of=${join(folder, size)}`, `bs=${size}`, 'conv=fsync'], { stdio: 'ignore' });
  }
}

async function isMountPoint(folder: string): Promise<boolean> {
  return (await readFile('/proc/self/mounts', 'utf8')).includes(` ${folder} `);
}
