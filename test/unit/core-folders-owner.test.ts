import { chown, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { lockFolder } from '../../backbone/files/folder-lock.ts';
import { DISK_FILES } from '../../backbone/segments/files.ts';
import { temporaryFolder } from '../services/wait.ts';

const isRoot = process.geteuid?.() === 0;

describe('files that root makes in a folder of another user', () => {
  it('belong to the owner of the folder: segments and locks', async () => {
    const folder = await temporaryFolder();
    const [uid, gid] = isRoot ? [1234, 4321] : [process.geteuid?.() ?? -1, process.getegid?.() ?? -1];
    await chown(folder, uid, gid);
    const file = await DISK_FILES.create(join(folder, 'x.seg'));
    file.close();
    const release = await lockFolder(folder);
    await release();
    const owners = await Promise.all((await readdir(folder)).map((name) => stat(join(folder, name))));
    expect(owners.map((found) => [found.uid, found.gid])).to.deep.equal([
      [uid, gid],
      [uid, gid],
    ]);
  });
});
