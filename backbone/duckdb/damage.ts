/** What the texts of DuckDB's errors mean. It has no codes for these. */

/** The database file itself is not whole: trying again cannot help. */
export function isDamage(why: string): boolean {
  return /not a valid DuckDB database file|Corrupt database file|Could not read enough bytes|Serialization Error/.test(
    why,
  );
}

/** Another process has the file open. */
export function isInUse(why: string): boolean {
  return /Could not set lock|Conflicting lock/.test(why);
}

/** The setting names something that can never be opened by this user. */
export function isRefusal(why: string): boolean {
  return /Permission denied|Is a directory|Not a directory|Read-only file system|Operation not permitted/.test(why);
}

/** What a person is told of a file that is damaged. */
export function damaged(file: string, why: string): string {
  return `${file} is damaged (${why}). Stop Loam and run \`loam repair\`: it keeps all that can be read. Or, without a restart, put a backup in its place: what came since is written again as far as the live log has it. Or move it away and keep it: Loam makes a new one, and writes what the live log has`;
}
