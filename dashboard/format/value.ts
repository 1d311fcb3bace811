/** A metric's definition, as far as showing a value of it needs. */
export interface MetricShape {
  readonly min: number | undefined;
  readonly max: number | undefined;
  readonly decimals: number | undefined;
}

export type Level = 'low' | 'high' | 'ok';

const formatters = new Map<string, Intl.NumberFormat>();

/** A value with exactly `decimals` places (at most two when they are not known), in the reader's way of writing numbers, with a true minus sign. */
export function formatValue(value: number, decimals: number | undefined, locale: string | undefined): string {
  const key = `${locale} ${decimals}`;
  const formatter = formatters.get(key) ?? new Intl.NumberFormat(locale, places(decimals));
  if (formatters.size > 50) formatters.clear();
  formatters.set(key, formatter);
  // In most locales the minus is a hyphen: short, low, and a line may break behind it.
  return formatter.format(value).replace('-', '\u2212');
}

function places(decimals: number | undefined): Intl.NumberFormatOptions {
  return decimals === undefined
    ? { maximumFractionDigits: 2 }
    : { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
}

/** Whether a value lies in its metric's range. A metric without a range is always ok. */
export function levelOf(value: number, { min, max }: MetricShape): Level {
  if (min !== undefined && value < min) return 'low';
  if (max !== undefined && value > max) return 'high';
  return 'ok';
}

/** A readable name for a metric that nobody described: "soil_moisture" becomes "Soil moisture". */
export function labelFrom(id: string): string {
  const words = id.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}
