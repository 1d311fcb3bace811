import type { Change } from '../../../telemetry/registry/registry.ts';
import type { RegistryChange } from '../../ports/registry.ts';

const MOST_KEPT = 1_000;

/** The last changes of the registry, numbered from 1 since the process was started. Older ones are forgotten. */
export class RecentChanges {
  private kept: RegistryChange[] = [];
  private lastSeq = 0;

  add(changes: readonly Change[], who: string, when: number): void {
    const news = changes.slice(-MOST_KEPT);
    this.lastSeq += changes.length - news.length;
    for (const change of news) {
      this.lastSeq += 1;
      this.kept.push({ ...change, seq: this.lastSeq, who, when });
    }
    this.kept = this.kept.slice(-MOST_KEPT);
  }

  after(seq: number, limit: number): readonly RegistryChange[] {
    const [first] = this.kept;
    const from = first ? Math.max(0, seq + 1 - first.seq) : 0;
    return this.kept.slice(from, from + limit);
  }
}
