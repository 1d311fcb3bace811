import { RegistryConflict, RegistryInvalid } from '../../core/errors.ts';
import { hashPassword, newSecret, verifyPassword } from '../../core/secrets.ts';
import type { RegistryEditor, RegistryView } from '../../telemetry/registry/registry.ts';
import { type User, versionOf } from '../../telemetry/registry/things.ts';
import { type Turn, Turns } from './turns.ts';

// Each check takes 32 MiB and a thread of the pool for about 20 ms.
const MAX_RUNNING = 3;
const MAX_WAITING = 100;
/** Somebody else may change the user at the same time, and again. */
const MOST_TRIES = 5;

/** People's passwords: checks them, and writes new ones into the registry. */
export class Passwords {
  private readonly registry: RegistryView & RegistryEditor;
  private readonly turns = new Turns(MAX_RUNNING, MAX_WAITING);
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
   * duration does not tell who exists. Addresses take turns. Rejects with HttpProblem `busy`.
   */
  async check(user: User | undefined, password: string, turn: Turn): Promise<boolean> {
    const hash = user?.password ?? this.nobodys;
    const right = await this.turns.run(turn, () => verifyPassword(password, hash));
    return right && user?.password !== undefined;
  }

  /**
   * Writes a new password for user `name` into the registry. Resolves with the user when it is in force. Rejects with
   * RegistryInvalid when there is no such user, RegistryConflict when others keep changing them, RegistryUnavailable when
   * the registry cannot be edited, and with HttpProblem `busy`.
   */
  async set(name: string, password: string, turn: Turn): Promise<User> {
    const hash = await this.turns.run(turn, () => hashPassword(password));
    for (let attempt = 1; ; attempt++) {
      const before = this.registry.current().users.get(name);
      if (!before) throw new RegistryInvalid(`there is no user "${name}"`);
      const user = { ...before, password: hash };
      const edit = { kind: 'user', id: name, seen: versionOf('user', name, before), value: user } as const;
      try {
        await this.registry.apply([edit], name);
        return user;
      } catch (error) {
        if (!(error instanceof RegistryConflict) || attempt >= MOST_TRIES) throw error;
      }
    }
  }
}
