import { crc32 } from 'node:zlib';
import { BLOCK_BYTES, RECORD_BYTES } from './format.ts';

/** Where no marker is known no record can be read. This one is quickly looked for in vain, unlike 0. */
export const NO_MARKER = 0xffff_fffe;

/** The latest time that a record can have, Unix ms: the end of what a Date can tell. */
const LATEST = 8.64e15;

/**
 * The marker of a segment of which neither header nor footer is whole, by its first whole record: at each place what
 * would be a record's numbers is looked at, and the CRC where they can be such. So much is checked by CRC at most as four
 * times the file has bytes.
 */
export function findMarker(bytes: Buffer): number | undefined {
  let budget = 4 * bytes.length;
  for (let at = BLOCK_BYTES; at + RECORD_BYTES <= bytes.length && budget > 0; at++) {
    const end = at + RECORD_BYTES + bytes.readUInt32LE(at + 8);
    const group = bytes.readUInt32LE(at + 12);
    if (end > bytes.length || group > at || group < BLOCK_BYTES) continue;
    const number = bytes.readDoubleLE(at + 16);
    const time = bytes.readDoubleLE(at + 24);
    if (!Number.isSafeInteger(number) || number < -1 || !(time >= 0 && time < LATEST)) continue;
    budget -= end - at;
    if (crc32(bytes.subarray(at + 8, end)) === bytes.readUInt32LE(at + 4)) return bytes.readUInt32LE(at);
  }
  return undefined;
}
