import { countingKey } from './networks.ts';

/** Somebody in a waiting room: a connection or a request of which nobody knows yet whose it is. */
export interface Guest {
  /** From now on it is not ended to make room. It still counts. */
  settle(): void;
  /** It counts no longer. May be called again. */
  leave(): void;
}

interface RoomPlace {
  size: number;
  /** Those that may be ended, the one that has waited longest first. */
  readonly waiting: Set<RoomSeat>;
}

interface RoomSeat {
  readonly since: number;
  readonly end: () => void;
}

/**
 * Those who have not shown who they are, by address (of IPv6: by /64). When the room is full, the one that has waited
 * longest is ended, of the address with most: so whoever holds many places loses them first, and whoever comes once
 * and says at once what it wants gets in.
 */
export class WaitingRoom {
  private readonly most: number;
  private readonly mostOfPlace: number;
  private readonly places = new Map<string, RoomPlace>();
  private came = 0;
  private total = 0;

  constructor(most: number, mostOfPlace = most) {
    this.most = most;
    this.mostOfPlace = mostOfPlace;
  }

  get size(): number {
    return this.total;
  }

  /** Whether more are in it than its limit. */
  get isOver(): boolean {
    return this.total > this.most;
  }

  /** Takes one more; `end` is called if it is ended to make room. Undefined when there is no room and none can be made. */
  enter(address: string, end: () => void): Guest | undefined {
    const place = this.places.get(countingKey(address));
    if (place !== undefined && place.size >= this.mostOfPlace) {
      if (!this.endOneOf(place)) return undefined;
    } else if (this.total >= this.most && !this.endOne()) return undefined;
    return this.add(address, end);
  }

  /** Takes one more, whatever the limit is. */
  add(address: string, end: () => void): Guest {
    const key = countingKey(address);
    const place = this.places.get(key) ?? { size: 0, waiting: new Set<RoomSeat>() };
    this.places.set(key, place);
    this.came += 1;
    this.total += 1;
    place.size += 1;
    let isIn = true;
    const leave = () => {
      if (!isIn) return;
      isIn = false;
      place.waiting.delete(waiting);
      place.size -= 1;
      this.total -= 1;
      if (place.size === 0) this.places.delete(key);
    };
    const ended = () => {
      leave();
      end();
    };
    const waiting: RoomSeat = { since: this.came, end: ended };
    place.waiting.add(waiting);
    return { settle: () => void place.waiting.delete(waiting), leave };
  }

  /** Ends the one that has waited longest, of the address with most. False when none may be ended. */
  endOne(): boolean {
    let fattest: RoomPlace | undefined;
    for (const place of this.places.values()) {
      if (place.waiting.size > 0 && (fattest === undefined || isBefore(place, fattest))) fattest = place;
    }
    return fattest !== undefined && this.endOneOf(fattest);
  }

  private endOneOf({ waiting }: RoomPlace): boolean {
    const oldest = oldestOf(waiting);
    oldest?.end();
    return oldest !== undefined;
  }
}

/** Of two addresses with as many, the one whose oldest has waited longer comes first. */
function isBefore(one: RoomPlace, other: RoomPlace): boolean {
  if (one.size !== other.size) return one.size > other.size;
  return (oldestOf(one.waiting)?.since ?? 0) < (oldestOf(other.waiting)?.since ?? 0);
}

function oldestOf(waiting: ReadonlySet<RoomSeat>): RoomSeat | undefined {
  const [oldest] = waiting;
  return oldest;
}
