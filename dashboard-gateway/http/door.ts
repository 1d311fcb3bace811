import { LRUCache } from 'lru-cache';
import { countingKey } from '../../core/networks.ts';
import { TokenBucket, type TokenRate } from '../../core/token-bucket.ts';
import { type Guest, WaitingRoom } from '../../core/waiting-room.ts';
import { HttpProblem, retryLater } from './problem.ts';
import type { Headers } from './request.ts';
import { Shares } from './shares.ts';

/** Requests under way of which nobody knows whose they are: in all, and from one address. A browser opens six connections. */
const MOST_ANONYMOUS = 256;
const MOST_OF_ADDRESS = 64;
/** Requests under way of those signed in, exports included: in all, and of one user. */
const MOST_SIGNED_IN = 512;
const MOST_OF_USER = 64;
/** Requests for which there was no room, and whose session is being looked at all the same. */
const MOST_KNOCKING = 256;
const RATE: TokenRate = { perSecond: 200, burst: 1_000 };
const MOST_RATES = 10_000;

/** How long a body may take to come: this, and for those signed in a second more for each 16 KiB that it may have. */
const BODY_MS = 7_000;
const BYTES_A_SECOND = 16 * 1024;

/** Why requests were ended before their body had come, or were not let in. */
export type TurnedAwayBy = 'room' | 'late' | 'rate' | 'user';

/** What is known of who sent a request. */
export interface RequestSender {
  readonly remoteAddress: string;
  readonly secure: boolean;
  readonly headers: Pick<Headers, 'cookie' | 'authorization'>;
}

export interface DoorOptions {
  /** The name of the user who sent a request, or undefined. Only asked for requests that bring a session. */
  readonly userOf: (sender: RequestSender) => Promise<string | undefined>;
  /** Called for each request that is ended, or not let in. */
  readonly onTurnedAway: (why: TurnedAwayBy) => void;
  /** What durations are measured by, ms. */
  readonly passed: () => number;
}

/** A request that was let in. */
export interface Visit {
  /** To be called when the whole body has come. Resolves with why the request is not to be answered, or undefined. Never rejects. */
  came(): Promise<HttpProblem | undefined>;
  /** To be called once, when it was answered or its client has left. */
  leave(): void;
}

/**
 * Lets requests in. A request is nobody's at first, and counts in a room for all those, with a bound for each address (of
 * IPv6: each /64). When that is full, the one whose body has been coming for longest is ended, of the address with most. A
 * session that proves good brings it to another room, which those without one cannot fill, with a bound for each user.
 */
export class Door {
  private readonly options: DoorOptions;
  private readonly anonymous = new WaitingRoom(MOST_ANONYMOUS, MOST_OF_ADDRESS);
  private readonly signedIn = new Shares(MOST_SIGNED_IN, MOST_OF_USER);
  private readonly rates = new LRUCache<string, TokenBucket>({ max: MOST_RATES });
  private knocking = 0;

  constructor(options: DoorOptions) {
    this.options = options;
  }

  get counts(): { readonly anonymous: number; readonly signedIn: number } {
    return { anonymous: this.anonymous.size, signedIn: this.signedIn.size };
  }

  /**
   * Lets a request in whose body may have `maxBody` bytes. `end` is called when it is to be ended before its body has come.
   * Throws HttpProblem `too-many-requests` or `busy`.
   */
  enter(sender: RequestSender, maxBody: number, end: (why: HttpProblem) => void): Visit {
    const bringsSession = sender.headers.cookie !== '' || sender.headers.authorization !== '';
    const inTime = this.mayPass(`address ${countingKey(sender.remoteAddress)}`);
    const endFor = (why: TurnedAwayBy) => end(this.problem(why));
    const guest = inTime ? this.anonymous.enter(sender.remoteAddress, () => endFor('room')) : undefined;
    if (guest === undefined && !(bringsSession && this.knocking < MOST_KNOCKING)) {
      throw this.problem(inTime ? 'room' : 'rate');
    }
    const deadline = new Deadline(BODY_MS, () => endFor('late'));
    if (!bringsSession) return visitOf(guest, deadline, () => guest?.leave());
    return this.whileProven(sender, guest, inTime, deadline, maxBody);
  }

  private whileProven(
    sender: RequestSender,
    guest: Guest | undefined,
    inTime: boolean,
    deadline: Deadline,
    maxBody: number,
  ): Visit {
    let shares: readonly string[] | undefined;
    let isGone = false;
    if (guest === undefined) this.knocking += 1;
    const prove = async (): Promise<HttpProblem | undefined> => {
      const user = await this.options.userOf(sender).catch(() => undefined);
      if (guest === undefined) this.knocking -= 1;
      if (isGone) return undefined;
      if (user === undefined) return guest === undefined ? this.problem(inTime ? 'room' : 'rate') : undefined;
      if (!inTime && !this.mayPass(`user ${user}`)) return this.problem('rate');
      if (!this.signedIn.take([user])) return this.problem('user');
      shares = [user];
      guest?.leave();
      deadline.extend(BODY_MS + (maxBody / BYTES_A_SECOND) * 1_000);
      return undefined;
    };
    return visitOf(
      guest,
      deadline,
      () => {
        isGone = true;
        guest?.leave();
        if (shares) this.signedIn.leave(shares);
      },
      prove(),
    );
  }

  private mayPass(key: string): boolean {
    const rate = this.rates.get(key) ?? new TokenBucket(RATE, this.options.passed());
    this.rates.set(key, rate);
    return rate.tryTake(this.options.passed());
  }

  private problem(why: TurnedAwayBy): HttpProblem {
    this.options.onTurnedAway(why);
    if (why === 'late') return new HttpProblem('request-timeout', 'the body did not come in time');
    if (why === 'rate') return retryLater('too-many-requests', 1);
    return retryLater('busy', 1, why === 'user' ? 'too many requests of this user are under way' : undefined);
  }
}

/** Health is answered always, and counts nowhere. */
export const UNCOUNTED: Visit = { came: async () => undefined, leave: () => {} };

function visitOf(
  guest: Guest | undefined,
  deadline: Deadline,
  leave: () => void,
  proven?: Promise<HttpProblem | undefined>,
): Visit {
  return {
    came: async () => {
      deadline.stop();
      guest?.settle();
      return await proven;
    },
    leave: () => {
      deadline.stop();
      leave();
    },
  };
}

/** Calls back once, unless it is stopped before. */
class Deadline {
  private readonly late: () => void;
  private timer: NodeJS.Timeout | undefined;

  constructor(ms: number, late: () => void) {
    this.late = late;
    this.timer = setTimeout(late, ms).unref();
  }

  /** Waits for `ms` from now on, if it was not stopped. */
  extend(ms: number): void {
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(this.late, ms).unref();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}
