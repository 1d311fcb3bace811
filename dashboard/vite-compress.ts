import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';

/** Files that compress well, from this size on. */
const NAMES = /\.(?:html|js|css|json|svg|txt|webmanifest)$/;
const LEAST_BYTES = 1_000;

/** A file as the gateway may send it instead, by the ending of its name; none where that gains nothing. */
export function compressedForms(name: string, body: Uint8Array): Readonly<Record<'.br' | '.gz', Buffer>> | undefined {
  if (!NAMES.test(name) || body.length < LEAST_BYTES) return undefined;
  return { '.br': brotliCompressSync(body), '.gz': gzipSync(body, { level: 9 }) };
}

/**
 * Writes compressed files beside the others. The gateway would otherwise compress them at each start, which took it
 * longer than everything else.
 * It runs when all files are written: before that, other plugins still change the text of chunks.
 */
export function compressed(): Plugin {
  return {
    name: 'compressed',
    apply: 'build',
    async writeBundle({ dir = '' }, bundle) {
      for (const name of Object.keys(bundle)) {
        const file = join(dir, name);
        const forms = compressedForms(name, await readFile(file));
        for (const [ending, body] of Object.entries(forms ?? {})) await writeFile(file + ending, body);
      }
    },
  };
}
