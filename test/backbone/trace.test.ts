import { join } from 'node:path';
import { expect } from 'chai';
import { temporaryFolder } from '../services/wait.ts';
import { syncsBefore } from './trace.ts';

if (process.platform === 'linux') {
  describe('the trace of system calls', () => {
    for (const [task, durable] of [
      ['fsync after the write', true],
      ['fdatasync after the write', true],
      ['opened with O_DSYNC', true],
      ['no sync', false],
      ['fsync before the last write', false],
      ['fsync of another file', false],
    ] as const) {
      it(`${task}: ${durable ? 'durable' : 'not durable'}`, async () => {
        const folder = await temporaryFolder();
        const child = { script: 'child-trace.ts', env: { FOLDER: folder } };
        const { written, unsynced } = await syncsBefore(child, { TASK: task }, folder, 'done');
        expect([...written.keys()]).to.deep.equal([join(folder, 'data')]);
        expect(unsynced).to.deep.equal(durable ? [] : [join(folder, 'data')]);
      });
    }
  });
}
