/** The part of the library that is used here; it has no types of its own. */
declare module 'fs-native-extensions' {
  /**
   * Locks an open file without waiting. True: it is locked until `fd` is closed. False: another open file has it locked.
   * Throws what the system says.
   */
  export function tryLock(fd: number): boolean;
}
