import { covers, overlap } from '../../telemetry/topic-filter.ts';

/**
 * The filters to subscribe to: those of `topics` that no other of them covers. A broker may deliver a message once for
 * each filter that matches it (MQTT 3.1.1, 3.3.5; Mosquitto does since 2.1): without a time of its own it would be
 * stored as often. Takes time by the square of their number.
 */
export function leastFilters(topics: readonly string[]): string[] {
  const distinct = [...new Set(topics)];
  return distinct.filter((topic) => !distinct.some((other) => other !== topic && covers(other, topic)));
}

/** Two of `filters` that may match one topic, and neither of which covers the other; undefined when there are none. */
export function overlapping(filters: readonly string[]): readonly [string, string] | undefined {
  for (const [i, one] of filters.entries()) {
    const other = filters.slice(i + 1).find((later) => overlap(one, later));
    if (other !== undefined) return [one, other];
  }
  return undefined;
}
