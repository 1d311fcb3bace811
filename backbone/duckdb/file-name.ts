/**
 * Throws for a path that DuckDB takes for another one: it keeps its own log at the path's part before the first question
 * mark, with `.wal` and the rest behind it.
 */
export function refuseName(path: string): void {
  if (!path.includes('?')) return;
  throw new Error(`DuckDB takes no path with a question mark, because of its own log: keep the file in another folder`);
}
