import { readFile } from 'node:fs/promises';

const root = new URL('../../', import.meta.url);

/** The text of a file of the project. */
export function projectFile(path: string): Promise<string> {
  return readFile(new URL(path, root), 'utf8');
}

/** The cells of each row of the Markdown table whose head begins with `head`, without its head. */
export function tableRows(page: string, head: string): string[][] {
  const lines = page.split('\n');
  const begin = lines.findIndex((line) => cellsOf(line)[0] === head);
  const rows: string[][] = [];
  for (const line of begin < 0 ? [] : lines.slice(begin + 2)) {
    if (!line.startsWith('|')) break;
    rows.push(cellsOf(line));
  }
  return rows;
}

function cellsOf(line: string): string[] {
  const cells = line.split(/(?<!\\)\|/).slice(1, -1);
  return cells.map((cell) => cell.trim().replaceAll('\\|', '|'));
}

/** What stands between the backticks of a cell. */
export function code(cell: string | undefined): string {
  return /^`([^`]+)`$/.exec(cell ?? '')?.[1] ?? '';
}
