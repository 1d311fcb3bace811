import { MOST_LINE, type TextLine } from './lines.ts';

/** A line as cells; `open` when a quote that begins a cell is not closed in it; otherwise why it is none. */
export type SplitLine = readonly string[] | 'open' | { readonly why: string };

/** Lines with more columns are not taken apart. */
export const MOST_COLUMNS = 4_096;
/** Most lines that one quoted cell may go over. */
const MOST_JOINED = 20;
/** A piece of a text that goes over several lines seldom has more columns than this, and just as many as the table. */
const SELDOM = 2;

/** What a line, or several with a cell that goes over their ends, says. `cells` is undefined when it says nothing; `why` is the reason. */
export interface FileRecord {
  /** Of its first line, from 1. */
  readonly number: number;
  readonly cells: readonly string[] | undefined;
  readonly why: string;
  readonly bytes: number;
  /** Which of the files it is from that were joined to this one: their headers stand between. */
  readonly part: number;
}

/** Takes a line apart. White space around cells is left out, and quotes in the middle of a cell are as they are. */
export function splitLine(text: string, delimiter: string): SplitLine {
  const cells = text.includes('"') ? quotedCells(text, delimiter) : text.split(delimiter, MOST_COLUMNS + 1);
  if (!isCells(cells)) return cells;
  return cells.length > MOST_COLUMNS ? { why: `it has more than ${MOST_COLUMNS} columns` } : cells.map(trimmed);
}

export function isCells(split: SplitLine): split is readonly string[] {
  return Array.isArray(split);
}

function trimmed(cell: string): string {
  return cell.trim();
}

function quotedCells(text: string, delimiter: string): SplitLine {
  const cells: string[] = [];
  for (let at = 0; cells.length <= MOST_COLUMNS; ) {
    let begin = at;
    while (text[begin] === ' ') begin++;
    let end = text.indexOf(delimiter, at);
    if (text[begin] === '"') {
      const close = closingQuote(text, begin + 1);
      if (close === -1) return 'open';
      cells.push(text.slice(begin + 1, close).replaceAll('""', '"'));
      end = close + 1;
      while (text[end] === ' ') end++;
      if (end < text.length && !text.startsWith(delimiter, end)) {
        return { why: `column ${cells.length} goes on behind its closing quote` };
      }
    } else cells.push(text.slice(at, end === -1 ? text.length : end));
    if (end === -1 || end >= text.length) break;
    at = end + delimiter.length;
  }
  return cells;
}

function closingQuote(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at !== -1; at = text.indexOf('"', at + 2)) {
    if (text[at + 1] !== '"') return at;
  }
  return -1;
}

export interface RecordRules {
  readonly delimiter: string;
  /** How many columns a line has. */
  readonly width: number;
  /** Lines before the data, by their text. Where one stands again, another file was joined to this one. */
  readonly head: ReadonlySet<string>;
  /** How many lines stand before the data. */
  readonly headLines: number;
  /** Whether the cells of a line have a time where the table has it. */
  readonly isData: (cells: readonly string[]) => boolean;
}

/**
 * The lines of the data. A line that cannot be taken apart comes too, with the reason. A quoted cell may go over a few
 * lines, but a quote that nobody closed costs its own line only.
 */
export async function* records(
  lines: AsyncGenerator<TextLine, undefined>,
  rules: RecordRules,
): AsyncGenerator<FileRecord> {
  const { delimiter, head, headLines } = rules;
  const ahead = new LinesAhead(lines);
  let part = 0;
  for (let line = await ahead.next(); line !== undefined; line = await ahead.next()) {
    const { number, text, bytes } = line;
    if (number <= headLines || (text.trim() === '' && !line.isCut)) continue;
    if (head.has(text)) {
      part++;
      continue;
    }
    const found = line.isCut ? { why: `it is longer than ${MOST_LINE} characters` } : splitLine(text, delimiter);
    const split = found === 'open' ? await joined(line, ahead, rules) : found;
    const cells = isCells(split) ? fitting(split, rules.width) : undefined;
    if (cells) yield { number, cells, why: '', bytes, part };
    else yield { number, cells, why: reasonOf(split, rules.width), bytes, part };
  }
}

function reasonOf(split: SplitLine, width: number): string {
  if (split === 'open') return 'a quote (") in it is not closed';
  return isCells(split) ? `it has ${split.length} columns instead of ${width}` : split.why;
}

/** A line may end in more delimiters than the header has columns: what is behind them is empty. */
function fitting(cells: readonly string[], width: number): readonly string[] | undefined {
  if (cells.length === width) return cells;
  if (cells.length < width || cells.slice(width).some((cell) => cell !== '')) return undefined;
  return cells.slice(0, width);
}

/** The cells of a line and those after it that its open quote reaches over; `open`, and those lines are read again, when it does not end well. */
async function joined(
  first: TextLine,
  ahead: LinesAhead,
  { delimiter, width, isData }: RecordRules,
): Promise<SplitLine> {
  const taken: TextLine[] = [];
  let text = first.text;
  while (taken.length < MOST_JOINED) {
    const next = await ahead.next();
    if (next === undefined) break;
    taken.push(next);
    const alone = splitLine(next.text, delimiter);
    // No quote of an earlier line reaches over a line that is one of the table by itself, or begins as one.
    const isOfTable = isCells(alone) && alone.length === width && width > SELDOM;
    if (next.isCut || isOfTable || isData(bareCells(next.text, delimiter))) break;
    text += `\n${next.text}`;
    if (text.length > MOST_LINE) break;
    const split = splitLine(text, delimiter);
    if (split === 'open') continue;
    const cells = isCells(split) ? fitting(split, width) : undefined;
    if (cells && isData(cells)) return cells;
    break;
  }
  ahead.giveBack(taken);
  return 'open';
}

/** Cells without looking at what quotes hold together. */
function bareCells(text: string, delimiter: string): string[] {
  return text.split(delimiter, MOST_COLUMNS).map((cell) => cell.trim().replace(/^"|"$/g, ''));
}

/** Lines that can be given back, to be read again. */
class LinesAhead {
  private readonly lines: AsyncGenerator<TextLine, undefined>;
  private back: TextLine[] = [];

  constructor(lines: AsyncGenerator<TextLine, undefined>) {
    this.lines = lines;
  }

  async next(): Promise<TextLine | undefined> {
    return this.back.shift() ?? (await this.lines.next()).value;
  }

  giveBack(lines: readonly TextLine[]): void {
    this.back = [...lines, ...this.back];
  }
}
