import { StoreUnavailable } from '../../core/errors.ts';
import type { Disk } from '../files/disk.ts';

/** Rejects with StoreUnavailable when a write may not be made. */
export async function assertRoom(disk: Disk): Promise<void> {
  try {
    await disk.assertRoom('work');
  } catch (cause) {
    throw new StoreUnavailable('DuckDB', { cause });
  }
}
