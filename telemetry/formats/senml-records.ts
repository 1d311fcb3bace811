import { child, kind, quote, type Refusals } from './decoded.ts';
import { isObject } from './json.ts';

/** A SenML record that is complete without others: no base fields, absolute time (RFC 8428, section 4.6). */
export interface SenmlRecord {
  readonly name: string;
  /** Whose record it is: the base name, else the name up to its last part, or all of it where that is an address. Empty when it does not say. */
  readonly device: string;
  readonly unit: string | undefined;
  /** Unix seconds; undefined when neither a time nor a base time was given, which means now. */
  readonly time: number | undefined;
  /** Whether `time` was told as a span before or after now. */
  readonly isRelative: boolean;
  readonly value?: number;
  readonly text?: string;
  readonly flag?: boolean;
  readonly data?: string;
  readonly sum?: number;
  readonly path: string;
}

const VERSION = 10;
/** Times below it are relative to now (section 4.5.3). */
const FIRST_ABSOLUTE = 2 ** 28;
/** The characters of a name (section 4.5.1). */
const NAME = /^[A-Za-z0-9][A-Za-z0-9\-:./_]*$/;
/** A device's address: 8 or more hex digits. It is no metric. */
const ADDRESS = /^[0-9a-f]{8,}$/i;
/** Longer names are refused: a base name is part of the name of each of thousands of records. */
const MOST_NAME = 512;

const NUMBERS = ['bt', 'bv', 'bs', 'bver', 't', 'ut', 'v', 's'] as const;
const TEXTS = ['bn', 'bu', 'n', 'u', 'vs', 'vd'] as const;

interface Base {
  bn: string;
  bt: number | undefined;
  bu: string | undefined;
  bv: number | undefined;
  bs: number | undefined;
}

/**
 * Resolves a SenML pack: base fields, relative times, versions and the rules on which fields a record may have. `now`
 * is in Unix seconds. A record that breaks a rule is refused alone. An unknown field that ends in "_", or a version
 * above `VERSION`, forbids reading the whole pack (section 4.4).
 */
export function resolveSenml(records: readonly unknown[], now: number, refusals: Refusals): SenmlRecord[] {
  if (forbidden(records, refusals)) return [];
  const base: Base = { bn: '', bt: undefined, bu: undefined, bv: undefined, bs: undefined };
  const resolved: SenmlRecord[] = [];
  for (const [i, record] of records.entries()) {
    const path = `$[${i}]`;
    if (!isObject(record)) {
      refusals.add('not_an_object', path, `a record is an object, not ${kind(record)}`);
      continue;
    }
    if (!hasRightTypes(record, path, refusals)) continue;
    rebase(base, record);
    const one = resolve(record, base, now, path, refusals);
    if (one) resolved.push(one);
  }
  return resolved;
}

function forbidden(records: readonly unknown[], refusals: Refusals): boolean {
  for (const [i, record] of records.entries()) {
    if (!isObject(record)) continue;
    const strange = Object.keys(record).find((key) => key.endsWith('_'));
    if (strange !== undefined) {
      const explanation = `${quote(strange)} must be understood by whoever reads the pack, and is not`;
      refusals.add('unknown_field', child(`$[${i}]`, strange), explanation);
      return true;
    }
    const { bver } = record;
    if (typeof bver === 'number' && bver > VERSION) {
      refusals.add('unknown_version', `$[${i}].bver`, `SenML version ${bver} is newer than ${VERSION}`);
      return true;
    }
  }
  return false;
}

function hasRightTypes(record: Readonly<Record<string, unknown>>, path: string, refusals: Refusals): boolean {
  const wrong = (key: string, wanted: string) => {
    refusals.add('not_a_number', child(path, key), `${kind(record[key])} is not ${wanted}`);
    return false;
  };
  for (const key of NUMBERS) {
    if (record[key] !== undefined && !Number.isFinite(record[key])) return wrong(key, 'a number');
  }
  for (const key of TEXTS)
    if (record[key] !== undefined && typeof record[key] !== 'string') return wrong(key, 'a text');
  if (record.vb !== undefined && typeof record.vb !== 'boolean') return wrong('vb', 'true or false');
  return true;
}

function rebase(base: Base, { bn, bt, bu, bv, bs }: Readonly<Record<string, unknown>>): void {
  if (typeof bn === 'string') base.bn = bn;
  if (typeof bt === 'number') base.bt = bt;
  if (typeof bu === 'string') base.bu = bu;
  if (typeof bv === 'number') base.bv = bv;
  if (typeof bs === 'number') base.bs = bs;
}

function resolve(
  record: Readonly<Record<string, unknown>>,
  base: Base,
  now: number,
  path: string,
  refusals: Refusals,
): SenmlRecord | undefined {
  const { n, u, t, v, vs, vb, vd, s } = record;
  const given = [v, vs, vb, vd].filter((field) => field !== undefined).length;
  // A record may only set base fields.
  if (given === 0 && s === undefined && n === undefined && base.bv === undefined) {
    if (Object.keys(record).some((key) => key.startsWith('b'))) return undefined;
  }
  if (given > 1 || (given === 0 && s === undefined && base.bv === undefined)) {
    refusals.add('no_values', path, given > 1 ? 'a record has one value' : 'a record has a value or a sum');
    return undefined;
  }
  const name = nameOf(base.bn, typeof n === 'string' ? n : '');
  if (name.length > MOST_NAME || !NAME.test(name)) {
    refusals.add('bad_name', path, `${quote(name)} is no SenML name of up to ${MOST_NAME} characters`);
    return undefined;
  }
  const isNumber = typeof v === 'number' || (given === 0 && base.bv !== undefined);
  const value = isNumber ? (typeof v === 'number' ? v : 0) + (base.bv ?? 0) : undefined;
  const sum = typeof s === 'number' ? s + (base.bs ?? 0) : undefined;
  return {
    name,
    device: deviceOf(name, typeof n === 'string' && n !== '' ? base.bn : ''),
    unit: typeof u === 'string' ? u : base.bu,
    ...timeOf(base.bt, typeof t === 'number' ? t : undefined, now),
    ...(value === undefined ? {} : { value }),
    ...(typeof vs === 'string' ? { text: vs } : {}),
    ...(typeof vb === 'boolean' ? { flag: vb } : {}),
    ...(typeof vd === 'string' ? { data: vd } : {}),
    ...(sum === undefined ? {} : { sum }),
    path,
  };
}

/** A base name that is too long by itself is not copied for every record that it is the base of. */
function nameOf(bn: string, n: string): string {
  return bn.length > MOST_NAME ? bn : bn + n;
}

/** Whether a part of a name is the address of a device. */
export function isAddress(part: string): boolean {
  return ADDRESS.test(part.replaceAll('-', ''));
}

/** The last part of a name, behind all separators. */
export function lastPart(name: string): string {
  return name.slice(Math.max(name.lastIndexOf(':'), name.lastIndexOf('/')) + 1);
}

function deviceOf(name: string, base: string): string {
  const own = base === '' && !isAddress(lastPart(name)) ? name.slice(0, name.length - lastPart(name).length) : base;
  return (own === '' && isAddress(lastPart(name)) ? name : own).replace(/[:/]$/, '');
}

function timeOf(bt: number | undefined, t: number | undefined, now: number): Pick<SenmlRecord, 'time' | 'isRelative'> {
  if (bt === undefined && t === undefined) return { time: undefined, isRelative: false };
  const time = (bt ?? 0) + (t ?? 0);
  const isRelative = time < FIRST_ABSOLUTE;
  return { time: isRelative ? now + time : time, isRelative };
}
