import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { atEnd } from './cleanup.ts';
import { output } from './process.ts';

let reason: { readonly why: string | undefined } | undefined;

/** Why no hosts can be made here; undefined where they can. Tries it once, which takes a moment. */
export function whyNoHosts(): string | undefined {
  reason ??= { why: tryIt() };
  return reason.why;
}

function tryIt(): string | undefined {
  if (process.platform !== 'linux') return 'this is not Linux';
  if (process.getuid?.() !== 0) return 'this is not root';
  const script = `set -e; n=loam-try-$$; trap 'ip netns del $n 2>/dev/null; ip link del lt$$ 2>/dev/null || true' EXIT
ip netns add $n; ip link add lt$$ type bridge; ip link add lu$$ type veth peer name eth0 netns $n; ip netns exec $n true`;
  const tried = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
  if (tried.status === 0) return undefined;
  return `no network namespaces can be made (${tried.stderr.trim().split('\n').at(-1) ?? tried.error?.message})`;
}

/** A machine of its own, as far as the network knows. */
export interface Host {
  readonly name: string;
  readonly address: string;
  /** What a command begins with that runs there. */
  readonly through: readonly string[];
}

/**
 * Some hosts on one switch, each a network namespace, for root on Linux (`whyNoHosts`). This process is on the switch,
 * too, at two addresses, so that what it serves at one of them can be cut from a host and the rest not. They are gone when
 * the run is over, whatever ends it but SIGKILL.
 */
export class Hosts {
  /** Of this process on the switch. */
  readonly address: string;
  readonly secondAddress: string;
  readonly all: ReadonlyMap<string, Host>;
  private readonly tag: string;
  private readonly forget: () => void;

  private constructor(names: readonly string[]) {
    // Addresses that nobody else on this machine is likely to have.
    const net = `10.${randomInt(200, 250)}.${randomInt(256)}`;
    this.tag = `lm${randomInt(16 ** 5).toString(16)}`;
    this.address = `${net}.1`;
    this.secondAddress = `${net}.2`;
    const hostOf = (name: string, i: number): Host => {
      const space = `${this.tag}-${name}`;
      return { name, address: `${net}.${i + 11}`, through: ['ip', 'netns', 'exec', space] };
    };
    this.all = new Map(names.map((name, i) => [name, hostOf(name, i)]));
    this.forget = atEnd({ end: () => this.close(), exit: () => this.remove() });
  }

  static async open(names: readonly string[]): Promise<Hosts> {
    const hosts = new Hosts(names);
    await hosts.make();
    return hosts;
  }

  host(name: string): Host {
    const found = this.all.get(name);
    if (!found) throw new Error(`there is no host ${name}`);
    return found;
  }

  /** From now on no packet from this host to an address gets anywhere, and nothing says so. */
  async cut(name: string, address: string): Promise<void> {
    await output('ip', ['-n', this.space(name), 'route', 'add', 'blackhole', `${address}/32`]);
  }

  async mend(name: string, address: string): Promise<void> {
    await output('ip', ['-n', this.space(name), 'route', 'del', 'blackhole', `${address}/32`]);
  }

  /** Takes the host's cable out of the switch. */
  async unplug(name: string): Promise<void> {
    await output('ip', ['link', 'set', this.port(name), 'nomaster']);
  }

  async plugIn(name: string): Promise<void> {
    await output('ip', ['link', 'set', this.port(name), 'master', this.tag]);
  }

  /** Takes hosts and switch away. What runs on them is to be ended before. */
  async close(): Promise<void> {
    this.forget();
    this.remove();
  }

  private async make(): Promise<void> {
    await output('ip', ['link', 'add', this.tag, 'type', 'bridge']);
    for (const address of [this.address, this.secondAddress]) {
      await output('ip', ['addr', 'add', `${address}/24`, 'dev', this.tag]);
    }
    await output('ip', ['link', 'set', this.tag, 'up']);
    for (const { name, address } of this.all.values()) {
      const space = this.space(name);
      await output('ip', ['netns', 'add', space]);
      const veth = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', space];
      await output('ip', ['link', 'add', this.port(name), ...veth]);
      await output('ip', ['link', 'set', this.port(name), 'master', this.tag, 'up']);
      await output('ip', ['-n', space, 'addr', 'add', `${address}/24`, 'dev', 'eth0']);
      for (const device of ['lo', 'eth0']) await output('ip', ['-n', space, 'link', 'set', device, 'up']);
    }
  }

  private remove(): void {
    for (const { name } of this.all.values()) {
      // A namespace lives as long as a process in it: its cable would stay.
      spawnSync('ip', ['link', 'del', this.port(name)]);
      spawnSync('ip', ['netns', 'del', this.space(name)]);
    }
    spawnSync('ip', ['link', 'del', this.tag]);
  }

  private space(name: string): string {
    return `${this.tag}-${this.host(name).name}`;
  }

  /** The name of the host's port on the switch, of at most 15 characters. */
  private port(name: string): string {
    return `${this.tag}-${[...this.all.keys()].indexOf(name)}`;
  }
}
