/** The installation's secret key, LOAM_SECRET_KEY: what the registry keeps of tokens can be used only with it. */
export interface SecretKey {
  /** The key; undefined while there is none. */
  current(): string | undefined;
  /**
   * Resolves with the key, which is made and kept when there is none. Rejects with ConfigInvalid when it cannot be kept,
   * or when there must have been one: what was made with that one would be worthless with another.
   */
  make(): Promise<string>;
}
