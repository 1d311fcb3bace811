import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { PACKAGE_ROOT } from '../../core/package-root.ts';

const description: unknown = JSON.parse(readFileSync(new URL('package.json', PACKAGE_ROOT), 'utf8'));

/** Loam's version. */
export const VERSION = z.object({ version: z.string() }).parse(description).version;
