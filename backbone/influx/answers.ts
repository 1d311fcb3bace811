import { clock } from '../../core/clock.ts';
import { StoreUnavailable } from '../../core/errors.ts';
import type { InfluxAddress } from './address.ts';

/** The server answers, and does not do what it is asked. */
export class ServerRefusal extends StoreUnavailable {}

/** The database, or on 2.x the bucket, is not there, or this user or token may not see it. */
export class DatabaseMissing extends ServerRefusal {}

/** This user or token has no right to it; InfluxDB 1 says so of a missing database, too. */
export class Forbidden extends ServerRefusal {}

/** InfluxDB 3 would have to read more files for this range of time than it may for one query. */
export class RangeTooWide extends ServerRefusal {}

/** What a server answered to a request that it did not carry out. */
export interface RefusedRequest {
  readonly to: 'write' | 'query';
  readonly status: number;
  readonly body: string;
  /** The header Retry-After, when there is one. */
  readonly retryAfter?: string | null | undefined;
}

const MISSING = /database not found|(bucket|database) \\?"[^"]*" not found|(bucket|database) [^ ]+ not found/;
// https://github.com/influxdata/influxdb/pull/25890: "Query would exceed file limit of 432 parquet files. …"
const TOO_WIDE = /exceed file limit/i;
const MOST_OF_A_BODY = 300;

/** The answer as an error that says in plain words what is to be done. */
export function refusedRequest(address: InfluxAddress, refused: RefusedRequest): ServerRefusal {
  const { to, status, body } = refused;
  const answer = `it answered ${status} to a ${to}: ${body.slice(0, MOST_OF_A_BODY).trim()}`;
  const options = { retryAfterMs: retryAfterMs(refused.retryAfter) };
  if (TOO_WIDE.test(body)) return new RangeTooWide(`InfluxDB reads too many files for this: ${answer}`, options);
  if (status === 401) {
    const why = 'the token or the password in LOAM_STORE is wrong, has expired, or is missing';
    return new ServerRefusal(`InfluxDB does not let Loam in: ${why} (${answer})`, options);
  }
  if (status === 403) {
    const may = to === 'write' ? 'write to' : 'read';
    const why = `the user or token in LOAM_STORE may not ${may} ${address.database}`;
    return new Forbidden(`InfluxDB: ${why} (${answer})`, options);
  }
  if (MISSING.test(body)) return missing(address, answer);
  return new ServerRefusal(`InfluxDB refuses: ${answer}`, options);
}

/** As `refusedRequest`, for an error in the answer to one statement. */
export function refusedStatement(address: InfluxAddress, complaint: string): ServerRefusal {
  if (TOO_WIDE.test(complaint)) return new RangeTooWide(`InfluxDB reads too many files for this: ${complaint}`);
  if (MISSING.test(complaint)) return missing(address, complaint);
  return new ServerRefusal(`InfluxDB: ${complaint}`);
}

function missing({ database }: InfluxAddress, answer: string): DatabaseMissing {
  return new DatabaseMissing(`InfluxDB has no database or bucket ${database}, or does not show it to Loam (${answer})`);
}

/** What a Retry-After header asks for, ms: it has seconds, or a date (RFC 9110, 10.2.3). */
export function retryAfterMs(header: string | null | undefined): number | undefined {
  if (!header) return undefined;
  const ms = /^\d{1,9}$/.test(header.trim()) ? Number(header) * 1_000 : Date.parse(header) - clock.now();
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}
