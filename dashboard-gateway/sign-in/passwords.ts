import { RegistryInvalid } from '../../core/errors.ts';
import { hashPassword, newSecret, verifyPassword } from '../../core/secrets.ts';
import { pause } from '../../core/timing.ts';
import type { RegistryEditor, RegistryView, User } from '../../telemetry/registry.ts';
import { setPassword } from '../../telemetry/registry-edit.ts';
import { WorkLimit } from '../http/work-limit.ts';

// Each check takes 32 MiB and a thread of the pool for about 20 ms.
const MAX_RUNNING = 3;
const MAX_WAITING = 100;
const RELOAD_WAIT_MS = 5_000;

/** People's passwords: checks them, and writes new ones into the registry's file. */
export class Passwords {
  private readonly registry: RegistryView & RegistryEditor;
  private readonly limit = new WorkLimit(MAX_RUNNING, MAX_WAITING);
  private readonly nobodys: string;

  private constructor(registry: RegistryView & RegistryEditor, nobodys: string) {
    this.registry = registry;
    this.nobodys = nobodys;
  }

  static async create(registry: RegistryView & RegistryEditor): Promise<Passwords> {
    return new Passwords(registry, await hashPassword(newSecret()));
  }

  /**
   * Whether `password` is the user's. It takes as long for a user who does not exist or has no password, so that the
   * duration does not tell who exists. Rejects with HttpProblem `busy`.
   */
  async check(user: User | undefined, password: string): Promise<boolean> {
    const hash = user?.password ?? this.nobodys;
    const right = await this.limit.run(() => verifyPassword(password, hash));
    return right && user?.password !== undefined;
  }

  /**
   * Writes a new password for user `name` into the registry's file. Resolves with the user when the registry was read
   * again. Rejects with RegistryInvalid when the user is not in the file, when the file cannot be edited, or when it is
   * not read again within 5 s. Rejects with HttpProblem `busy`.
   */
  async set(name: string, password: string): Promise<User> {
    const hash = await this.limit.run(() => hashPassword(password));
    await this.registry.edit((text) => setPassword(text, name, hash));
    const end = performance.now() + RELOAD_WAIT_MS;
    for (;;) {
      const user = this.registry.current().users.get(name);
      if (user?.password === hash) return user;
      if (performance.now() > end)
        throw new RegistryInvalid('the new password was written, but the registry has not been read again');
      await pause(20);
    }
  }
}
