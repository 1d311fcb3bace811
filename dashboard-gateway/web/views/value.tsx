import { formatValue, levelOf } from '../format/value.ts';
import { locale } from '../state/device.ts';
import { metricOf } from '../state/farms.ts';
import { LevelIcon } from './icons.tsx';

/** A value with its unit. */
export function Value({ sensor, metric, value }: { sensor: string; metric: string; value: number }) {
  const { decimals, unit } = metricOf(metric);
  return (
    <>
      <span class="number" data-sensor={sensor} data-metric={metric}>
        {formatValue(value, decimals, locale)}
      </span>
      {unit && <span class="unit">{unit}</span>}
    </>
  );
}

/** Says whether a value is below or above its metric's range; nothing when it is within. */
export function LevelMark({ metric, value }: { metric: string; value: number }) {
  const level = levelOf(value, metricOf(metric));
  if (level === 'ok') return null;
  return (
    <span class={`level level-${level}`}>
      <LevelIcon level={level} />
      {level === 'low' ? 'Too low' : 'Too high'}
    </span>
  );
}
