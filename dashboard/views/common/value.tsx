import { formatValue, type Level, levelOf } from '../../format/value.ts';
import { wordingOf } from '../../format/words.ts';
import { locale } from '../../state/device.ts';
import { metricOf } from '../../state/farms.ts';
import { shownOf } from '../../state/settings.ts';
import { ToneIcon } from './icons.tsx';

/** A value (as stored) with its unit, in the reader's units. */
export function Value({ sensor, metric, value }: { sensor?: string; metric: string; value: number }) {
  const { decimals, unit, of } = shownOf(metric);
  return (
    <span class="value">
      <span class="number" data-sensor={sensor} data-metric={metric}>
        {formatValue(of(value), decimals, locale)}
      </span>
      {unit && <span class="unit">{unit}</span>}
    </span>
  );
}

/** The same as plain text. */
export function valueText(metric: string, value: number): string {
  const { decimals, unit, of } = shownOf(metric);
  const number = formatValue(of(value), decimals, locale);
  return unit ? `${number} ${unit}` : number;
}

/** "18 to 40 %", "at least 3.4 V"; undefined for a metric without a range. */
export function rangeText(metric: string): string | undefined {
  const { min, max, unit, decimals } = shownOf(metric);
  const text = (v: number) => formatValue(v, decimals, locale);
  const tail = unit ? ` ${unit}` : '';
  if (min !== undefined && max !== undefined) return `${text(min)} to ${text(max)}${tail}`;
  if (min !== undefined) return `at least ${text(min)}${tail}`;
  return max === undefined ? undefined : `at most ${text(max)}${tail}`;
}

/** Says whether a value is below or above its metric's range; nothing when it is within. */
export function LevelMark({ metric, value }: { metric: string; value: number }) {
  const level: Level = levelOf(value, metricOf(metric));
  if (level === 'ok') return null;
  const { words, tone } = wordingOf(metric, level);
  return (
    <span class={`mark tone-${tone}`}>
      <ToneIcon tone={tone} />
      {words}
    </span>
  );
}

/** Where a value lies: the middle half of the bar is the metric's range. The number and the words beside it say the same. */
export function RangeBar({ metric, value }: { metric: string; value: number }) {
  const definition = metricOf(metric);
  const { min, max } = definition;
  if (min === undefined || max === undefined || max <= min) return null;
  const share = 0.25 + (0.5 * (value - min)) / (max - min);
  const x = Math.max(2, Math.min(98, share * 100));
  const level = levelOf(value, definition);
  const tone = level === 'ok' ? 'fine' : wordingOf(metric, level).tone;
  return (
    <span class="range-bar" aria-hidden="true">
      <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
        <rect class="range-all" y="2" width="100" height="4" />
        <rect class="range-normal" x="25" y="2" width="50" height="4" />
        <rect class={`range-mark tone-${tone}`} x={x - 0.8} width="1.6" height="8" />
      </svg>
    </span>
  );
}
