import type { Socket } from 'node:net';
import { type Guest, WaitingRoom } from '../../core/waiting-room.ts';
import type { BrokerCounters } from '../counters.ts';
import type { BrokerLimits } from '../limits.ts';
import type { Addresses } from './addresses.ts';
import type { EntranceFault } from './connection-reports.ts';

type ArrivalLimits = Pick<BrokerLimits, 'greetings' | 'connectMs'>;

interface Arrival {
  readonly guest: Guest;
  readonly deadline: NodeJS.Timeout;
  readonly letIn: (address: string) => void;
}

/**
 * Connections from their first moment until their client is let in. They have a room of their own, so that silent ones,
 * unfinished handshakes and refusals that are still to be sent take no place from clients that are let in. When it is
 * full, the connection that has waited longest is ended, of the address with most.
 */
export class Arrivals {
  private readonly limits: ArrivalLimits;
  private readonly addresses: Addresses;
  private readonly counters: BrokerCounters;
  private readonly refused: (address: string, why: EntranceFault) => void;
  private readonly room: WaitingRoom;
  /** Those in the room, by `wayOf`. */
  private readonly arrivals = new Map<string, Arrival>();
  private trimming = false;

  /** `refused` is told of each connection for which there is no room. */
  constructor(
    limits: ArrivalLimits,
    addresses: Addresses,
    counters: BrokerCounters,
    refused: (address: string, why: EntranceFault) => void,
  ) {
    this.refused = refused;
    this.limits = limits;
    this.addresses = addresses;
    this.counters = counters;
    this.room = new WaitingRoom(limits.greetings);
  }

  /** Connections whose client has not been let in yet. */
  get size(): number {
    return this.room.size;
  }

  /** Takes a connection; closes it when no more clients can be let in, in all or of its address. */
  take(socket: Socket): void {
    const address = socket.remoteAddress;
    const way = wayOf(socket);
    if (address === undefined || way === undefined || !this.addresses.hasRoom(address)) {
      this.refuse(address ?? '');
      socket.destroy();
      return;
    }
    this.counters.connected += 1;
    const end = (count: 'evictedGreetings' | 'lateGreetings') => {
      this.counters[count] += 1;
      socket.destroy();
    };
    this.arrivals.set(way, {
      guest: this.room.add(address, () => end('evictedGreetings')),
      deadline: setTimeout(end, this.limits.connectMs, 'lateGreetings').unref(),
      letIn: (client) => {
        this.addresses.enter(client);
        socket.once('close', () => this.addresses.leave(client));
      },
    });
    socket.once('close', () => this.forget(way));
    this.trimSoon();
  }

  /** Whether one more client may be let in from `address`, which a trusted proxy has told. If not, that is counted and told. */
  hasRoom(address: string): boolean {
    const hasRoom = this.addresses.hasRoom(address);
    if (!hasRoom) this.refuse(address);
    return hasRoom;
  }

  /**
   * The client of a connection is let in, and counts as such, for its own `address`: behind a trusted proxy that is another one than the socket's. False when others were let in meanwhile and there is no
   * room any more: the connection is to be closed.
   */
  letIn({ way, address }: { readonly way?: string | undefined; readonly address: string }): boolean {
    const hasRoom = this.addresses.hasRoom(address);
    if (way === undefined) return hasRoom;
    if (hasRoom) this.arrivals.get(way)?.letIn(address);
    else this.refuse(address);
    this.forget(way);
    return hasRoom;
  }

  private refuse(address: string): void {
    this.counters.refusedConnections += 1;
    this.refused(address, 'too_many_connections');
  }

  private forget(way: string): void {
    const arrival = this.arrivals.get(way);
    clearTimeout(arrival?.deadline);
    arrival?.guest.leave();
    this.arrivals.delete(way);
  }

  /**
   * After a restart thousands of devices come at once. Node accepts all of them before it reads from the first, so a
   * connection whose CONNECT is here already looks silent. Two turns of the event loop later each was read once.
   */
  private trimSoon(): void {
    if (this.trimming || !this.room.isOver) return;
    this.trimming = true;
    setImmediate(() =>
      setImmediate(() => {
        this.trimming = false;
        while (this.room.isOver && this.room.endOne());
      }),
    );
  }
}

/**
 * What a connection is known by, under TLS too, where one object is the bare socket and another one speaks TLS.
 * Undefined when it is closed already.
 */
export function wayOf({ localPort, remoteAddress, remotePort }: Socket): string | undefined {
  if (remoteAddress === undefined) return undefined;
  return `${localPort} ${remoteAddress} ${remotePort}`;
}
