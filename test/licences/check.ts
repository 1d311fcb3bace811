import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

// Every package that an installation of Loam brings along has a licence that may be passed on with Apache-2.0. Ends with code 1, and names those that
// have another or none. Nothing is asked of the network: packages say it in the lock file or, where that does not, in their own package.json.

const ALLOWED: ReadonlySet<string> = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'ISC',
  'MIT',
]);

/** Binaries for other systems: they are not installed here, and say nothing in the lock file. Their package says it for all of them. */
const LIKE: Readonly<Record<string, string>> = {
  '@duckdb/node-bindings-': 'node_modules/@duckdb/node-bindings',
  '@msgpackr-extract/msgpackr-extract-': 'node_modules/msgpackr-extract',
};

const described = z.looseObject({
  license: z.string().optional(),
  dev: z.boolean().optional(),
  link: z.boolean().optional(),
});
const lock = z.looseObject({ packages: z.record(z.string(), described) });
const { packages } = lock.parse(JSON.parse(readFileSync('package-lock.json', 'utf8')));

const faults: string[] = [];
let count = 0;
for (const [path, { license, dev, link }] of Object.entries(packages)) {
  if (path === '' || dev || link) continue;
  count += 1;
  const found = license ?? installed(path) ?? installed(ofAll(path));
  if (found === undefined || !ALLOWED.has(found)) faults.push(`${path}: ${found ?? 'no licence is known'}`);
}
for (const fault of faults) console.error(fault);
console.log(
  `${count} packages are looked at; ${faults.length} have a licence that is not one of ${[...ALLOWED].join(', ')}`,
);
if (faults.length > 0 || count === 0) process.exitCode = 1;

function ofAll(path: string): string {
  const [, like = path] = Object.entries(LIKE).find(([begin]) => path.includes(begin)) ?? [];
  return like;
}

function installed(path: string): string | undefined {
  try {
    return described.parse(JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'))).license;
  } catch {
    return undefined;
  }
}
