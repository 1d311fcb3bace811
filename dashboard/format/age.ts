/** A clock may be ahead by so much before it shows, ms: readings dated further ahead are refused. */
const ALIKE_MS = 5 * 60_000;
const UNITS = [
  ['second', 1000],
  ['minute', 60_000],
  ['hour', 3_600_000],
  ['day', 86_400_000],
] as const;

/**
 * How long ago something was (`ageMs`), short, in the reader's language: "12s ago". A time a little ahead, which clocks
 * that differ can cause, is shown as now; one far ahead as what it is: "in 30 days".
 */
export function formatAge(ageMs: number, locale: string | undefined): string {
  const words = wordsOf(locale);
  const age = ageMs < -ALIKE_MS ? -ageMs : Math.max(0, ageMs);
  const [unit, size] = UNITS.findLast(([, ms]) => age >= ms) ?? UNITS[0];
  if (age < 1000) return words.now;
  return words.past.format(Math.sign(-ageMs) * Math.floor(age / size), unit);
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
