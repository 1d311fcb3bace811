import { readFile } from 'node:fs/promises';

const root = new URL('../../', import.meta.url);

/** The text of a file of the project. */
export function projectFile(path: string): Promise<string> {
  return readFile(new URL(path, root), 'utf8');
}

/** The cells of each row of the Markdown table whose head begins with `head`, without its head. */
export function tableRows(page: string, head: string): string[][] {
  const lines = page.split('\n');
  const begin = lines.findIndex((line) => line.startsWith(`| ${head} |`));
  const rows: string[][] = [];
  for (const line of begin < 0 ? [] : lines.slice(begin + 2)) {
    if (!line.startsWith('|')) break;
    const cells = line.split(/(?<!\\)\|/).slice(1, -1);
    rows.push(cells.map((cell) => cell.trim().replaceAll('\\|', '|')));
  }
  return rows;
}

/** What stands between the backticks of a cell. */
export function code(cell: string | undefined): string {
  return /^`([^`]+)`$/.exec(cell ?? '')?.[1] ?? '';
}
