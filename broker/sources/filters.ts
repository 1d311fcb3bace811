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

/** Whether every topic that `narrow` matches is matched by `wide`. */
function covers(wide: string, narrow: string): boolean {
  if (hidesFrom(wide, narrow)) return false;
  const [a, b] = [wide.split('/'), narrow.split('/')];
  for (const [i, level] of a.entries()) {
    // `x/#` matches `x` too.
    if (level === '#') return b.length >= i;
    const other = b[i];
    if (other === undefined || other === '#' || (level !== '+' && level !== other)) return false;
  }
  return a.length === b.length;
}

function overlap(one: string, other: string): boolean {
  if (hidesFrom(one, other) || hidesFrom(other, one)) return false;
  const [a, b] = [one.split('/'), other.split('/')];
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) {
    const [x, y] = [a[i], b[i]];
    if (x === '#' || y === '#') return true;
    if (x !== y && x !== '+' && y !== '+') return false;
  }
  const next = (a.length > b.length ? a : b)[shorter];
  return next === undefined || next === '#';
}

/** A filter that begins with a wildcard matches no topic that begins with $ (4.7.2). */
function hidesFrom(wild: string, filter: string): boolean {
  return /^[+#]/.test(wild) && filter.startsWith('$');
}
