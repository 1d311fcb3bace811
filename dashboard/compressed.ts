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

/** Writes them beside each file: the gateway would compress them at each start, which took it longer than everything else. */
export function compressed(): Plugin {
  return {
    name: 'compressed',
    apply: 'build',
    enforce: 'post',
    generateBundle(_options, bundle) {
      for (const file of Object.values(bundle)) {
        const body = Buffer.from(file.type === 'chunk' ? file.code : file.source);
        for (const [ending, source] of Object.entries(compressedForms(file.fileName, body) ?? {})) {
          this.emitFile({ type: 'asset', fileName: file.fileName + ending, source });
        }
      }
    },
  };
}
