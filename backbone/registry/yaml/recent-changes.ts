import type { Change } from '../../../telemetry/registry/registry.ts';
import type { RegistryChange } from '../../ports/registry.ts';

const MOST_KEPT = 1_000;
/** A codec's text is much longer than any other thing: of these changes only so many characters are kept. */
const MOST_TEXT = 16 * 1024 ** 2;

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
    this.kept = shortened(this.kept.slice(-MOST_KEPT));
  }

  before(seq: number, limit: number): readonly RegistryChange[] {
    const older = this.kept.filter((change) => change.seq < seq);
    return older.slice(Math.max(0, older.length - limit)).reverse();
  }

  after(seq: number, limit: number): readonly RegistryChange[] {
    const [first] = this.kept;
    const from = first ? Math.max(0, seq + 1 - first.seq) : 0;
    return this.kept.slice(from, from + limit);
  }
}

/** The newest changes, without those before which there is too much text in them. The last one always stays. */
function shortened(changes: RegistryChange[]): RegistryChange[] {
  let left = MOST_TEXT;
  for (let at = changes.length - 1; at >= 0; at--) {
    const change = changes[at];
    if (change?.kind !== 'codec') continue;
    left -= (change.before?.text.length ?? 0) + (change.after?.text.length ?? 0);
    if (left < 0) return changes.slice(Math.min(at + 1, changes.length - 1));
  }
  return changes;
}
