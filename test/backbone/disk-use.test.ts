import { expect } from 'chai';
import { Disks } from '../../backbone/files/disk.ts';
import { levelOf, type Reserve, reserveOf } from '../../backbone/files/reserve.ts';
import { Metrics } from '../../core/metrics.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { DecidedDisks } from './disk-room.ts';

const GB = 1e9;

describe('what is kept free on a disk', () => {
  it('is a share of it, 64 MB at least, and an eighth at most where that is less', () => {
    const usual: Reserve = { share: 0.02 };
    expect(reserveOf(usual, 1_000 * GB)).to.equal(20 * GB);
    expect(reserveOf(usual, GB)).to.equal(64e6);
    expect(reserveOf(usual, 0.4 * GB)).to.equal(0.05 * GB);
    expect(reserveOf({ share: 0.5 }, 0.4 * GB)).to.equal(0.2 * GB);
    expect(reserveOf(usual, 0)).to.equal(0);
  });

  it('is a size where a size was asked for, and never more than half of a disk', () => {
    expect(reserveOf({ bytes: 16e6 }, 1_000 * GB)).to.equal(16e6);
    expect(reserveOf({ bytes: 500 * GB }, 800 * GB)).to.equal(400 * GB);
  });

  it('is what the setting says for every folder', async () => {
    const readRoom = async () => ({ total: 1_000 * GB, free: 40 * GB });
    const folder = await temporaryFolder();
    for (const [reserve, isLow] of [
      [{ share: 0.05 }, true],
      [{ bytes: 30 * GB }, false],
    ] as const) {
      const [told] = await new Disks({ readRoom, reserve }).told([folder]);
      expect(told?.isLow).to.equal(isLow);
      expect(told?.text).to.include('96 %').and.to.include('40 GB are left').and.to.include(folder);
    }
  });
});

describe('a disk that fills', () => {
  it('has reached 80, 90 and 95 %, and a point less before it is below each again', () => {
    const levels: number[] = [];
    let level = 0;
    for (const percent of [0, 79.9, 80, 89, 90, 94.9, 95, 100, 94, 93.9, 90, 89.5, 88.9, 79, 78.9, 96, 0]) {
      level = levelOf(percent / 100, level);
      levels.push(level);
    }
    expect(levels).to.deep.equal([0, 0, 80, 80, 90, 90, 95, 95, 95, 90, 90, 90, 80, 80, 0, 95, 0]);
  });

  it('is said once at each level on either way, in the log, in /readyz without taking anything out of service, and measured', async () => {
    const folder = await temporaryFolder();
    const decided = new DecidedDisks();
    // A disk on which 95 % are in use long before the reserve is touched.
    decided.total = 8_000e6;
    const uses = async (share: number) => {
      decided.free = decided.total * (1 - share);
      const { events } = decided;
      const said = events.length;
      await until(`${share} is said`, () => events.length > said);
    };
    const metrics = new Metrics();
    decided.disks.count(metrics);
    decided.free = decided.total / 2;
    const disk = await decided.disks.at(folder);
    const end = disk.hold();
    await disk.assertRoom('incoming');
    expect(decided.disks.health()).to.deep.equal([{ name: 'disk', ok: true }]);
    await uses(0.82);
    const [line] = decided.disks.health();
    expect(line).to.include({ name: 'disk', ok: false, optional: true });
    expect(line?.why).to.include('82 %').and.to.include(folder).and.to.include('sensors are held');
    expect(await metrics.text()).to.match(/loam_disk_use_ratio 0\.8199|loam_disk_use_ratio 0\.82/);
    await disk.assertRoom('incoming');
    await uses(0.91);
    await uses(0.96);
    await disk.assertRoom('incoming');
    await uses(0.5);
    expect(decided.disks.health()).to.deep.equal([{ name: 'disk', ok: true }]);
    expect(decided.events).to.deep.equal(['disk_filling', 'disk_filling', 'disk_filling', 'disk_emptied']);
    end();
  });
});
