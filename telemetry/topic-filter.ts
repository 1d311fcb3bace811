/** Whether every topic that `narrow` matches is matched by `wide`; both are topic filters (MQTT 3.1.1, 4.7). */
export function covers(wide: string, narrow: string): boolean {
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

/** Whether two filters may match one topic. */
export function overlap(one: string, other: string): boolean {
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
