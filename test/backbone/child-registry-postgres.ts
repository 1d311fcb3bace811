import { writeSync } from 'node:fs';
import { openPostgresRegistry } from '../../backbone/registry/postgres/registry.ts';
import { LoamError } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { given } from './child-tasks.ts';
import { range } from './numbered.ts';
import { sensor } from './registry-things.ts';

/** What a child process does with the registry at REGISTRY_URL; NAME tells it from another. */

const name = given('NAME');
const registry = await openPostgresRegistry(given('REGISTRY_URL'), { log: silent });

switch (given('TASK')) {
  case 'race':
    await race();
    break;
  case 'edit-one':
    print('open');
    await report(registry.apply([sensor(name)], name), name);
    break;
  default:
    throw new Error('unknown TASK');
}
await registry.close();

/** 25 edits of its own things, and 25 of one that others edit too and that was seen in version SEEN; all at once. Prints what became of each. */
async function race(): Promise<void> {
  const seen = given('SEEN');
  await Promise.all(
    range(0, 25).flatMap((number) => [
      report(registry.apply([sensor(`${name}-${number}`)], name), `own ${number}`),
      report(registry.apply([{ ...sensor('shared', { name: `${name} ${number}` }), seen }], name), `shared ${number}`),
    ]),
  );
}

async function report(edit: Promise<unknown>, what: string): Promise<void> {
  await edit.then(
    () => print(`kept ${what}`),
    (error: unknown) => print(`${error instanceof LoamError ? error.code : String(error)} ${what}`),
  );
}

function print(line: string): void {
  writeSync(1, `${line}\n`);
}
