/** One value of DER: its tag, and where its content begins and ends. */
export interface DerValue {
  readonly tag: number;
  /** Where the whole value begins. */
  readonly at: number;
  readonly from: number;
  readonly to: number;
}

export const INTEGER = 0x02;
export const SEQUENCE = 0x30;
export const UTC_TIME = 0x17;
export const GENERALIZED_TIME = 0x18;

/** The values one after the other in `bytes` from `at` to `end`. Throws an Error when they do not fill it exactly. */
export function derValues(bytes: Buffer, at = 0, end = bytes.length): DerValue[] {
  const found: DerValue[] = [];
  for (let next = at; next < end; ) {
    const value = valueAt(bytes, next, end);
    found.push(value);
    next = value.to;
  }
  return found;
}

/** What is in a SEQUENCE. Throws an Error when it is none. */
export function inSequence(bytes: Buffer, value: DerValue | undefined): DerValue[] {
  if (value?.tag !== SEQUENCE) throw new Error('a SEQUENCE is missing');
  return derValues(bytes, value.from, value.to);
}

function valueAt(bytes: Buffer, at: number, end: number): DerValue {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined) throw new Error('it ends in the middle of a value');
  const more = first < 0x80 ? 0 : first & 0x7f;
  // Four bytes are enough for any file; none is the indefinite form, which DER does not have.
  if (more > 4 || first === 0x80 || at + 2 + more > end) throw new Error('a length is wrong');
  const length = more === 0 ? first : bytes.readUIntBE(at + 2, more);
  const from = at + 2 + more;
  if (from + length > end) throw new Error('a value is longer than what it is in');
  return { tag, at, from, to: from + length };
}

/** A time, Unix ms. Throws an Error when it is none. */
export function derTime(bytes: Buffer, { tag, from, to }: DerValue): number {
  const text = bytes.toString('latin1', from, to);
  const parts = /^(\d{2,4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  const isKind = (tag === UTC_TIME && text.length === 13) || (tag === GENERALIZED_TIME && text.length === 15);
  if (!parts || !isKind) throw new Error('a time is wrong');
  const [year = 0, month = 0, day, hour, minute, second] = parts.slice(1).map(Number);
  const century = tag === GENERALIZED_TIME ? 0 : year < 50 ? 2000 : 1900;
  return Date.UTC(century + year, month - 1, day, hour, minute, second);
}
