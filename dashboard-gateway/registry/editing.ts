import { explain, RegistryConflict, RegistryInvalid, RegistryUnavailable } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Applied, Edit, Registry, RegistryEditor, RegistryView } from '../../telemetry/registry/registry.ts';
import { type Kind, type User, versionOf } from '../../telemetry/registry/things.ts';
import { isMatched } from '../http/etag.ts';
import { HttpProblem, retryLater } from '../http/problem.ts';
import { WorkLimit } from '../http/work-limit.ts';
import { type Caller, isTokenHolder } from '../sign-in/sessions.ts';
import { visibleFarm } from '../sign-in/signed-in.ts';

/** Edits at once, of one farm, and of all that may wait in one gateway. One more of the farm with the most waiting is answered `busy`. */
const TURNS = { running: 64, runningOfOne: 1, waiting: 500 } as const;
/** Somebody else may change the same thing at the same time, and again. */
const MOST_TRIES = 5;

export interface FarmEdit {
  readonly caller: Caller;
  /** The caller must be its admin. */
  readonly farm: string;
  /** The thing that the request's `If-Match` is about, and that header. */
  readonly about?: { readonly kind: Kind; readonly id: string; readonly ifMatch: string };
  /** What is to change, by the registry as it is now, and the caller as it is in there. Called again when somebody else was quicker. May throw HttpProblem. */
  readonly make: (current: Registry, user: User) => readonly Edit[];
}

/** Edits the registry in the name of callers. */
export class RegistryEditing {
  private readonly registry: RegistryView & RegistryEditor;
  private readonly log: Logger;
  private readonly turns = new WorkLimit(TURNS);

  constructor(registry: RegistryView & RegistryEditor, log: Logger) {
    this.registry = registry;
    this.log = log;
  }

  /**
   * Makes an edit for an admin of a farm, one of the farm after another: so each sees what those before it made. What this process knows may be a second old: so the edit is made only if the
   * caller is in the registry what they are here, and of the things that it changes none was changed meanwhile. Rejects
   * with HttpProblem: `forbidden`, `conflict` when `If-Match` names another version, `registry-unavailable`, `busy`.
   */
  async ofFarm(edit: FarmEdit): Promise<Applied> {
    try {
      return await this.turns.run([edit.farm], () => this.tried(edit));
    } catch (error) {
      if (error instanceof RegistryConflict) throw conflictProblem(error);
      if (!(error instanceof RegistryInvalid || error instanceof RegistryUnavailable)) throw error;
      this.log.error(`the registry cannot be changed: ${explain(error)}`);
      throw retryLater('registry-unavailable', 5, this.withoutOtherFarms(explain(error), edit.farm));
    }
  }

  private async tried({ caller, farm, about, make }: FarmEdit): Promise<Applied> {
    const { registry } = this;
    const who = caller.user.name;
    for (let attempt = 1; ; attempt++) {
      const current = registry.current();
      const user = isTokenHolder(caller.user) ? caller.user : current.users.get(who);
      if (!user) throw new HttpProblem('forbidden');
      visibleFarm(current, user, farm, 'admin');
      if (about && !isMatched(about.ifMatch, versionIn(current, about))) {
        if (attempt > 1) throw mismatch(current, about);
        // Another process may have made the version that the caller names.
        await registry.apply([], who);
        continue;
      }
      const edits = make(current, user).map((one) => ({ seen: versionIn(current, one) ?? null, ...one }));
      const isStillAdmin: Edit[] = isTokenHolder(user)
        ? []
        : [{ kind: 'user', id: who, seen: versionOf('user', who, user), value: user }];
      try {
        return await registry.apply([...edits, ...isStillAdmin], who);
      } catch (error) {
        if (!(error instanceof RegistryConflict) || attempt >= MOST_TRIES) throw error;
      }
    }
  }

  /** What is wrong with the registry may be about other farms: then it is said in the log alone. */
  private withoutOtherFarms(why: string, farm: string): string {
    const others = [...this.registry.current().farms.keys()].filter((other) => other !== farm);
    const isAboutOthers = others.some((other) => why.includes(`"${other}"`) || why.includes(` ${other}/`));
    return isAboutOthers ? 'the log of the gateway says why' : why;
  }
}

function versionIn(registry: Registry, { kind, id }: { readonly kind: Kind; readonly id: string }): string | undefined {
  const thing = registry.get(kind, id);
  return thing && versionOf(kind, id, thing);
}

function mismatch(current: Registry, { kind, id, ifMatch }: NonNullable<FarmEdit['about']>): RegistryConflict {
  const seen = ifMatch.replaceAll('"', '').slice(0, 100);
  return new RegistryConflict([{ kind, id, seen, now: versionIn(current, { kind, id }) ?? null }]);
}

/** The present versions are told, so that a program can look at these things and ask again. */
function conflictProblem({ message, conflicts }: RegistryConflict): HttpProblem {
  return new HttpProblem('conflict', message, {}, { conflicts });
}
