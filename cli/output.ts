/**
 * Everything that the commands print goes through here. What they print is in part of others: topics, payloads, names,
 * texts of errors. Control characters and those that turn the direction of writing are shown as `\uXXXX`, so that nobody's
 * bytes move the cursor, rename the window or change the order of what is read. In JSON they mean the same as before.
 */
const UNSEEN = /[\p{Cc}\p{Bidi_Control}]/gu;
const CLEAR_LINE = '\r\u001B[K';

/** A text for a terminal, of several lines. */
export function forTerminal(text: string): string {
  return text.replace(UNSEEN, (one) => (one === '\n' || one === '\t' ? one : escaped(one)));
}

/** Prints to standard output. */
export function print(text: string): void {
  process.stdout.write(forTerminal(text));
}

/** Prints a line of columns. A column is one, whatever is in it. */
export function printRow(columns: readonly unknown[]): void {
  const cells = columns.map((column) => String(column).replace(UNSEEN, escaped));
  process.stdout.write(`${cells.join('\t')}\n`);
}

/** Prints a text that a file is made of: as it is, unless a person looks at it. */
export function printExactly(text: string): void {
  process.stdout.write(process.stdout.isTTY ? forTerminal(text) : text);
}

/** Prints to standard error. */
export function printError(text: string): void {
  process.stderr.write(forTerminal(text));
}

/** Clears the line of a terminal that shows how far something is, and prints `text` there. */
export function printOverLine(text: string): void {
  process.stderr.write(`${CLEAR_LINE}${forTerminal(text)}`);
}

function escaped(one: string): string {
  return `\\u${one.charCodeAt(0).toString(16).padStart(4, '0').toUpperCase()}`;
}
