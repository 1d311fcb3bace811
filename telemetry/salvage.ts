import { ID } from './reading.ts';

/** A sensor as damaged bytes name it. */
export interface NamedSensor {
  readonly farm: string;
  readonly sensor: string;
}

/**
 * The sensors that bytes name which once were queue messages or entries of a log, in the order of their first naming.
 * Nothing else of the bytes has to be whole: each row of a batch, of a live entry or of a dead letter, each command and
 * each event begins with its names, and rows are looked for at every place. A name itself may be damaged; whoever knows
 * the names there are can tell. At most `most` are returned. The time is linear in the number of bytes.
 */
export function sensorsIn(bytes: Uint8Array, most: number): NamedSensor[] {
  const found = new Map<string, NamedSensor>();
  for (let at = 0; at < bytes.length && found.size < most; at++) {
    const head = bytes[at] ?? 0;
    if (head < SHORTEST_ROW || head > LONGEST_ROW) continue;
    const named = namedBy(bytes, at + 1);
    if (named && ID.test(named.farm) && ID.test(named.sensor)) found.set(`${named.farm}/${named.sensor}`, named);
  }
  return [...found.values()];
}

/** MessagePack's lists of 5 to 13 elements: a reading has the fewest, an event the most. */
const SHORTEST_ROW = 0x95;
const LONGEST_ROW = 0x9d;
const VERSION_1 = 1;
/** So many texts stand together at most in a row; a longer one is none of ours. */
const MOST_TEXTS = 6;
const MOST_NAME_BYTES = 64;

function namedBy(bytes: Uint8Array, at: number): NamedSensor | undefined {
  const isVersioned = bytes[at] === VERSION_1;
  const texts = textsFrom(bytes, isVersioned ? at + 1 : at);
  const [first, second, third, fourth] = texts;
  if (first === undefined || second === undefined) return undefined;
  if (isVersioned) {
    if (first === 'claim') return third === undefined ? undefined : { farm: second, sensor: third };
    const isKnown = first === 'queued' || first === 'delivered' || first === 'overwritten';
    return isKnown && third !== undefined && fourth !== undefined ? { farm: third, sensor: fourth } : undefined;
  }
  // A publish: farm, field, sensor, topic. A reading: farm, sensor, and numbers.
  if (texts.length === 4 && third !== undefined) return { farm: first, sensor: third };
  return texts.length === 2 ? { farm: first, sensor: second } : undefined;
}

/** The texts that stand one behind the other from `at` on. A topic may be longer than a name. */
function textsFrom(bytes: Uint8Array, at: number): string[] {
  const texts: string[] = [];
  for (let next = at; texts.length < MOST_TEXTS; ) {
    const head = bytes[next] ?? 0;
    const isShort = head >= 0xa0 && head <= 0xbf;
    if (!isShort && head !== 0xd9) break;
    const begin = next + (isShort ? 1 : 2);
    const length = isShort ? head & 0x1f : (bytes[next + 1] ?? 0);
    if (begin + length > bytes.length) break;
    texts.push(length > MOST_NAME_BYTES ? '' : decoder.decode(bytes.subarray(begin, begin + length)));
    next = begin + length;
  }
  return texts;
}

const decoder = new TextDecoder();
