/** What a person is told in place of the text that the system has for it. */
const IN_WORDS: Readonly<Record<string, string>> = {
  ENOSPC: 'there is no room left on the disk',
  EDQUOT: 'the quota for the disk is used up',
  EROFS: 'the file system can only be read',
  EIO: 'the disk could not be read or written (an input/output error)',
};

/** What `replaceFile` and `makeFile` put behind the name of a file while they write it. */
export const UNFINISHED = /\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp/g;

/** Codes of errors that end by themselves when somebody makes room. */
const WANT_OF_ROOM: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT']);

/** The code of an error of the system, such as `ENOENT`; undefined for any other. */
export function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

/** Whether a call of the system failed, such as the opening of a file. */
export function isOfSystem(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error;
}

/** Whether a write failed because the disk is full, or the quota on it. */
export function isWantOfRoom(error: unknown): boolean {
  return WANT_OF_ROOM.has(codeOf(error));
}

/**
 * The text of an error as a person reads it. An error of the disk is said in words, and a file that is only half
 * written is called by the name that it was to get.
 */
export function messageOf(error: Error): string {
  const words = 'code' in error && 'syscall' in error ? IN_WORDS[String(error.code)] : undefined;
  const path = 'path' in error && typeof error.path === 'string' ? `${error.path}: ` : '';
  const text = words === undefined ? error.message || error.name : path + words;
  return text.replaceAll(UNFINISHED, '');
}
