import { type ClockFinding, type ClockSaid, findClock } from './clock-finding.ts';
import { type ClockSamples, joined } from './clock-samples.ts';

interface Kept {
  readonly live: number;
  readonly refused: number;
  readonly said: ClockSaid;
  readonly finding: ClockFinding | undefined;
}

/** What was found of each sensor's clock of a farm. It is asked for often, and looked for again only after a change. */
export class ClockFindings {
  private readonly kept = new Map<string, Kept>();

  /** By the samples of what was stored, and those of what was `refused`. */
  of(
    sensor: string,
    live: ClockSamples | undefined,
    refused: ClockSamples | undefined,
    said: ClockSaid,
  ): ClockFinding | undefined {
    if (live === undefined && refused === undefined) {
      this.kept.delete(sensor);
      return undefined;
    }
    const versions = { live: live?.version ?? 0, refused: refused?.version ?? 0 };
    const known = this.kept.get(sensor);
    const isSame = known?.live === versions.live && known.refused === versions.refused && isSaid(known.said, said);
    if (known && isSame) return known.finding;
    const finding = findClock(joined(live?.list ?? [], refused?.list ?? []), said);
    this.kept.set(sensor, { ...versions, said, finding });
    return finding;
  }
}

/** Things in the registry never change: another policy is another object. */
function isSaid(one: ClockSaid, other: ClockSaid): boolean {
  return one.own === other.own && one.farm === other.farm && one.floor === other.floor;
}
