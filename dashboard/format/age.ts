const UNITS = [
  ['second', 1000],
  ['minute', 60_000],
  ['hour', 3_600_000],
  ['day', 86_400_000],
] as const;

/**
 * How long ago something was (`ageMs`), short, in the reader's language: "12s ago". A time in the future, which clocks
 * that differ can cause, is shown as now.
 */
export function formatAge(ageMs: number, locale: string | undefined): string {
  const words = wordsOf(locale);
  const age = Math.max(0, ageMs);
  const [unit, size] = UNITS.findLast(([, ms]) => age >= ms) ?? UNITS[0];
  if (age < 1000) return words.now;
  return words.past.format(-Math.floor(age / size), unit);
}

/** A length of time in its largest unit: "2 minutes". */
export function formatDuration(ms: number, locale: string | undefined): string {
  const [unit, size] = UNITS.findLast(([, u]) => ms >= u) ?? UNITS[0];
  return new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'long', maximumFractionDigits: 0 }).format(
    ms / size,
  );
}

interface Words {
  readonly now: string;
  readonly past: Intl.RelativeTimeFormat;
}

const kept = new Map<string | undefined, Words>();

/** Making a formatter costs more than using it, and a page has one locale. */
function wordsOf(locale: string | undefined): Words {
  const known = kept.get(locale);
  if (known) return known;
  const now = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' }).format(0, 'second');
  const made = { now, past: new Intl.RelativeTimeFormat(locale, { numeric: 'always', style: 'narrow' }) };
  kept.clear();
  kept.set(locale, made);
  return made;
}
