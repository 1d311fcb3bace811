/** The latest batch ids, and the offset where each came first. A batch that is announced twice has the same id. */
export class SeenIds {
  private readonly firstAt = new Map<string, number>();
  private readonly limit: number;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Remembers that `id` came at `offset`; false when it came at another offset before. The same entry read again is still news. */
  isNews(id: string, offset: number): boolean {
    const known = this.firstAt.get(id);
    if (known !== undefined) return known === offset;
    this.firstAt.set(id, offset);
    if (this.firstAt.size > this.limit) {
      // A map keeps the order in which its members came.
      const oldest = this.firstAt.keys().next();
      if (!oldest.done) this.firstAt.delete(oldest.value);
    }
    return true;
  }

  /** Forgets everything: the log was started over, and so were its offsets. */
  clear(): void {
    this.firstAt.clear();
  }
}
