/** How the bytes of a file may be written. Windows-1252 holds Latin-1. */
export const ENCODINGS = ['utf-8', 'windows-1252', 'utf-16le', 'utf-16be'] as const;
export type FileEncoding = (typeof ENCODINGS)[number];

/** So many bytes tell whether characters have two bytes each, where no mark says so. */
const BEGINNING = 512;

/**
 * How a file's bytes are written: as its mark says, in UTF-16 where every other byte of its beginning is 0, in UTF-8
 * where that can be read, and otherwise in Windows-1252. It reads on until it knows. One damaged byte does not decide
 * against UTF-8 where the bytes around it are good.
 */
export async function encodingOf(chunks: AsyncIterable<Uint8Array>): Promise<FileEncoding> {
  const strict = new TextDecoder('utf-8', { fatal: true });
  let isBeginning = true;
  let hasWide = false;
  for await (const chunk of chunks) {
    const wide = isBeginning ? ofBeginning(chunk) : undefined;
    if (wide !== undefined) return wide;
    isBeginning = false;
    try {
      const text = strict.decode(chunk, { stream: true });
      hasWide ||= /[^\0-\x7f]/.test(text);
    } catch {
      return hasWide || isMostlyGood(chunk) ? 'utf-8' : 'windows-1252';
    }
  }
  return 'utf-8';
}

function ofBeginning(chunk: Uint8Array): FileEncoding | undefined {
  const [first, second, third] = chunk;
  if (first === 0xff && second === 0xfe) return 'utf-16le';
  if (first === 0xfe && second === 0xff) return 'utf-16be';
  if (first === 0xef && second === 0xbb && third === 0xbf) return 'utf-8';
  const zeros = [0, 0];
  const length = Math.min(chunk.length, BEGINNING);
  for (let at = 0; at < length; at++) if (chunk[at] === 0) zeros[at & 1] = (zeros[at & 1] ?? 0) + 1;
  const [even = 0, odd = 0] = zeros;
  if (odd > length / 4 && even < length / 16) return 'utf-16le';
  return even > length / 4 && odd < length / 16 ? 'utf-16be' : undefined;
}

function isMostlyGood(chunk: Uint8Array): boolean {
  const text = new TextDecoder('utf-8').decode(chunk);
  const broken = text.match(/\ufffd/g)?.length ?? 0;
  return (text.match(/[^\0-\x7f\ufffd]/g)?.length ?? 0) > broken;
}
