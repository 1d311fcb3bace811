import { Socket } from 'node:net';
import { Client, DatabaseError, type QueryResultRow } from 'pg';
import { clock } from '../../../core/clock.ts';
import { withDeadline } from '../../../core/timing.ts';
import type { PostgresAddress } from './address.ts';

const CONNECT_MS = 4_000;
/** How long the server may take for one answer. Everything that is asked here takes it milliseconds. */
const ANSWER_MS = 4_000;
/** How long an answer may take whose bytes come in all the time, as over a farm's slow line. */
const LONGEST_ANSWER_MS = 120_000;
const KEEP_ALIVE_MS = 10_000;

/** What a server is, as far as it matters here. */
export interface ServerFacts {
  /** As 130000 for 13.0. */
  readonly version: number;
  readonly encoding: string;
}

/**
 * One connection to PostgreSQL. It is over for good when the server ends it, when the network breaks, and when an answer
 * is late: a server that is frozen, or a network that swallows packets, must hold up nobody.
 */
export class PostgresSession {
  private readonly client: Client;
  private readonly socket: Socket;
  private readonly isPatient: boolean;
  private whenOver = (): void => {};
  /** Why the connection is over. */
  private ended: { readonly why: unknown } | undefined;

  private constructor(address: PostgresAddress, isPatient: boolean) {
    this.isPatient = isPatient;
    this.socket = new Socket();
    this.client = new Client({
      host: address.host,
      port: address.port,
      database: address.database,
      user: address.user,
      // As a function: otherwise an empty one is looked for in variables and files that are not Loam's.
      password: () => address.password,
      ssl: address.tls,
      application_name: `loam ${process.pid}`,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
      // Of our own, to be able to destroy it: the client's `end` waits for the server.
      stream: () => this.socket,
    });
    this.client.on('error', (error) => this.end(error));
    this.client.on('end', () => this.end(new Error('the server ended the connection')));
  }

  /**
   * Resolves when the server has let us in; rejects with what prevented that. A server that only follows another one is
   * refused: nothing can be edited there, and what it knows may be old. `isPatient`: an answer is late when nothing comes
   * for that time; otherwise when it is not there by then, for whoever holds a lock must not keep others waiting.
   */
  static async open(
    address: PostgresAddress,
    isPatient = false,
  ): Promise<{ session: PostgresSession; server: ServerFacts }> {
    const session = new PostgresSession(address, isPatient);
    try {
      await withDeadline(session.client.connect(), CONNECT_MS, `no answer in ${CONNECT_MS / 1_000} s`);
      return { session, server: await session.introduce() };
    } catch (error) {
      session.close();
      throw error;
    }
  }

  get isOver(): boolean {
    return this.ended !== undefined;
  }

  /**
   * Calls `wake` whenever somebody notifies `channel`, and when the connection is over. Resolves when no notification can
   * be missed any more.
   */
  async listen(channel: string, wake: () => void): Promise<void> {
    this.whenOver = wake;
    this.client.on('notification', wake);
    await this.query(`LISTEN ${channel}`);
  }

  /**
   * The rows of the answer. Rejects with DatabaseError when the server refuses; the connection can still be used then,
   * unless it was the server's last word. Rejects with any other error when the connection is over.
   */
  async query<R extends QueryResultRow>(text: string, values: readonly unknown[] = [], ms = ANSWER_MS): Promise<R[]> {
    return (await this.ask(() => this.client.query<R>(text, [...values]), ms)).rows;
  }

  /** As `query`, for several statements, of whose answers none is wanted. */
  async run(statements: string, ms = ANSWER_MS): Promise<void> {
    await this.ask(() => this.client.query(statements), ms);
  }

  /** Ends the connection at once. What the server was doing for it is undone there. */
  close(): void {
    this.ended ??= { why: new Error('the connection was closed') };
    this.socket.destroy();
  }

  private async ask<T>(send: () => Promise<T>, ms: number): Promise<T> {
    if (this.ended) throw this.ended.why;
    try {
      return await this.answered(send(), ms);
    } catch (error) {
      if (!(error instanceof DatabaseError)) this.end(error);
      throw error;
    }
  }

  private async answered<T>(answer: Promise<T>, ms: number): Promise<T> {
    const end = clock.passed() + LONGEST_ANSWER_MS;
    for (;;) {
      const heard = this.socket.bytesRead;
      try {
        return await withDeadline(answer, ms, `no answer in ${ms / 1_000} s`);
      } catch (error) {
        const isComing = this.isPatient && !this.isOver && this.socket.bytesRead > heard;
        if (!isComing || error instanceof DatabaseError || clock.passed() > end) throw error;
      }
    }
  }

  private async introduce(): Promise<ServerFacts> {
    const [server] = await this.query<{ version: number; encoding: string; follows: boolean }>(INTRODUCTION);
    if (server === undefined) throw new Error('an empty answer');
    if (server.follows) throw new Error('this server only follows another one, and cannot be written to');
    return server;
  }

  private end(why: unknown): void {
    if (this.ended) return;
    this.ended = { why };
    this.socket.destroy();
    this.whenOver();
  }
}

// The client takes everything for UTF-8, without telling the server.
const INTRODUCTION = `SELECT set_config('client_encoding', 'UTF8', false),
  current_setting('server_version_num')::int AS version,
  current_setting('server_encoding') AS encoding,
  pg_is_in_recovery() AS follows`;
