/** What a system's payload says: when it was measured, Unix ms, where it says so, and what. */
export interface ToldValues {
  readonly at?: number | undefined;
  readonly values: Readonly<Record<string, unknown>>;
}
