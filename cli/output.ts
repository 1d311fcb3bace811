import { printable, printableCell } from '../core/printable.ts';

/** Everything that the commands print goes through here, so that nobody's bytes reach a terminal as they are. */
const CLEAR_LINE = '\r\u001B[K';

/** Prints to standard output. */
export function print(text: string): void {
  process.stdout.write(printable(text));
}

/** Prints a line of columns. A column is one, whatever is in it. */
export function printRow(columns: readonly unknown[]): void {
  const cells = columns.map((column) => printableCell(String(column)));
  process.stdout.write(`${cells.join('\t')}\n`);
}

/** Prints a text that a file is made of: as it is, unless a person looks at it. */
export function printExactly(text: string): void {
  process.stdout.write(process.stdout.isTTY ? printable(text) : text);
}

/** Prints to standard error. */
export function printError(text: string): void {
  process.stderr.write(printable(text));
}

/** Clears the line of a terminal that shows how far something is, and prints `text` there. */
export function printOverLine(text: string): void {
  process.stderr.write(`${CLEAR_LINE}${printable(text)}`);
}
