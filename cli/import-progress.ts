import { SingleBar } from 'cli-progress';
import { printError, printOverLine } from './output.ts';

/** Shows how far the import is: a bar on a terminal, otherwise a line for every tenth. */
export class ImportProgress {
  private readonly size: number;
  private readonly bar: SingleBar | undefined;
  private told = 0;
  private waiting = '';

  constructor(size: number) {
    this.size = Math.max(1, size);
    if (!process.stderr.isTTY) return;
    this.bar = new SingleBar({ format: 'importing {bar} {percentage} % | {lines} lines', stream: process.stderr });
    this.bar.start(this.size, 0, { lines: 0 });
  }

  at(bytes: number, lines: number): void {
    this.waiting = '';
    this.bar?.update(Math.min(bytes, this.size), { lines });
    const tenth = Math.floor((bytes / this.size) * 10);
    if (this.bar || tenth <= this.told) return;
    this.told = tenth;
    this.tell(`${Math.min(100, tenth * 10)} % read, ${lines} lines imported`);
  }

  /** Says why the import waits. The same reason several times in a row is shown once. */
  waits(why: string): void {
    if (why !== this.waiting) this.tell(`waiting: ${why}`);
    this.waiting = why;
  }

  /** Says something on a line of its own, above the bar. */
  tell(line: string): void {
    if (this.bar) printOverLine(`${line}\n`);
    else printError(`${line}\n`);
  }

  end(): void {
    this.bar?.stop();
  }
}
