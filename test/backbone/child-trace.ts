import { closeSync, constants, fdatasyncSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { given } from './child-tasks.ts';

// Writes a file and makes it durable, or not, in the way that TASK names.
const path = join(given('FOLDER'), 'data');
const synchronous = given('TASK') === 'opened with O_DSYNC' ? constants.O_DSYNC : 0;
const file = openSync(path, constants.O_CREAT | constants.O_RDWR | synchronous);
const other = openSync(join(given('FOLDER'), 'other'), 'w');
writeSync(1, 'begin\n');
writeSync(file, 'one');
switch (given('TASK')) {
  case 'fsync after the write':
    fsyncSync(file);
    break;
  case 'fdatasync after the write':
    fdatasyncSync(file);
    break;
  case 'fsync before the last write':
    fsyncSync(file);
    writeSync(file, 'two', 100);
    break;
  case 'fsync of another file':
    fsyncSync(other);
    break;
}
writeSync(1, 'done\n');
fsyncSync(file);
closeSync(file);
closeSync(other);
