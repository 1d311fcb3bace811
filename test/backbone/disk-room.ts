import pino from 'pino';
import { Disks } from '../../backbone/files/disk.ts';

/** Disks whose free room a test decides: of 800 MB, so that 64 MB are kept free. */
export class DecidedDisks {
  free = 400e6;
  total = 800e6;
  /** What was logged, by event. */
  readonly events: string[] = [];
  readonly disks: Disks;

  constructor() {
    const log = pino({ level: 'info' }, { write: (line: string) => void this.events.push(JSON.parse(line).event) });
    this.disks = new Disks({ log, readRoom: async () => ({ total: this.total, free: this.free }) });
  }
}
