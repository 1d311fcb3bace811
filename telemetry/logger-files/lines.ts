import type { FileEncoding } from './encoding.ts';

/** A line of a file, without its end. */
export interface TextLine {
  /** Counted from 1. */
  readonly number: number;
  readonly text: string;
  /** The line was longer than MOST_LINE: its text is left out. */
  readonly isCut: boolean;
  /** Bytes of the file that were read up to here, or a little more. */
  readonly bytes: number;
}

/** Longer lines (characters) are not kept: no logger writes them, and one without an end would fill the memory. */
export const MOST_LINE = 256 * 1024;

/** The lines of a file that end in LF, CR LF or CR. It holds one line and one chunk at a time. */
export async function* textLines(
  chunks: AsyncIterable<Uint8Array>,
  encoding: FileEncoding,
): AsyncGenerator<TextLine, undefined> {
  const decoder = new TextDecoder(encoding);
  let number = 0;
  let bytes = 0;
  let held = '';
  let isCut = false;
  const line = (text: string): TextLine => {
    const isLong = isCut || text.length > MOST_LINE;
    isCut = false;
    return { number: ++number, text: isLong ? '' : text, isCut: isLong, bytes };
  };
  for await (const chunk of chunks) {
    bytes += chunk.length;
    const text = held + decoder.decode(chunk, { stream: true });
    // A CR at the end may be the first half of CR LF.
    const known = text.endsWith('\r') ? text.slice(0, -1) : text;
    const pieces = known.split(/\r\n|\r|\n/);
    held = (pieces.pop() ?? '') + text.slice(known.length);
    for (const piece of pieces) yield line(piece);
    if (held.length > MOST_LINE) {
      held = '';
      isCut = true;
    }
  }
  const last = held.replace(/\r$/, '');
  if (held !== '' || isCut) yield line(last);
  return undefined;
}
