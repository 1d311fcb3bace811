import { useRef, useState } from 'preact/hooks';
import { type ChartRange, moved, RANGE_IDS, RANGES, scaled, stretchOf } from '../../chart/ranges.ts';
import { formatSpan } from '../../format/time.ts';
import { fromInput, toInput } from '../../format/zone.ts';
import { locale, now } from '../../state/device.ts';
import { Glyph, type GlyphName } from '../common/icons.tsx';

interface RangeProps {
  readonly range: ChartRange;
  /** The farm's time zone: days and clock times are the farm's, wherever the viewer is. */
  readonly zone: string;
  readonly onRange: (range: ChartRange) => void;
}

/** Chooses the range of time: one that moves with the clock, or any other. */
export function RangeControls({ range, zone, onRange }: RangeProps) {
  const move = (share: number) => onRange(moved(range, share, now.peek()));
  const scale = (factor: number) => onRange(scaled(range, factor, now.peek()));
  return (
    <div class="range-controls">
      <fieldset class="segments" aria-label="Range of time">
        {RANGE_IDS.map((id) => (
          <button
            key={id}
            type="button"
            aria-pressed={'last' in range && range.last === id}
            title={`The ${RANGES[id].words}`}
            onClick={() => onRange({ last: id })}
          >
            {RANGES[id].label}
          </button>
        ))}
      </fieldset>
      <fieldset class="segments steps" aria-label="Move the range">
        <Step label="Earlier" glyph="back" act={() => move(-0.5)} />
        <Step label="Later" glyph="forward" act={() => move(0.5)} disabled={'last' in range} />
        <Step label="Zoom in" glyph="closer" act={() => scale(0.5)} />
        <Step label="Zoom out" glyph="farther" act={() => scale(2)} />
      </fieldset>
      <AnyRange range={range} zone={zone} onRange={onRange} />
    </div>
  );
}

function Step({
  label,
  glyph,
  act,
  disabled,
}: {
  label: string;
  glyph: GlyphName;
  act: () => void;
  disabled?: boolean;
}) {
  return (
    <button type="button" aria-label={label} title={label} disabled={disabled} onClick={act}>
      <Glyph name={glyph} />
    </button>
  );
}

function AnyRange({ range, zone, onRange }: RangeProps) {
  const menu = useRef<HTMLDetailsElement>(null);
  const [wrong, setWrong] = useState('');
  const { from, to } = stretchOf(range, now.peek());
  const submit = (event: Event) => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement)) return;
    const form = new FormData(event.currentTarget);
    const begin = fromInput(`${form.get('from')}`, zone);
    const end = fromInput(`${form.get('to')}`, zone);
    if (begin === undefined || end === undefined) return setWrong('Give both times.');
    if (begin >= end) return setWrong('The first time must be before the second.');
    setWrong('');
    if (menu.current) menu.current.open = false;
    onRange({ from: begin, to: end });
  };
  const fixed = !('last' in range);
  return (
    <details class="any-range" ref={menu}>
      <summary class={fixed ? 'button chosen' : 'button'}>
        {fixed ? formatSpan(from, to, locale, zone) : 'Other dates'}
      </summary>
      <form class="any-range-form" onSubmit={submit} key={`${from} ${to}`}>
        <label>
          From
          <input type="datetime-local" name="from" defaultValue={toInput(from, zone)} required />
        </label>
        <label>
          To
          <input type="datetime-local" name="to" defaultValue={toInput(to, zone)} required />
        </label>
        <p class="quiet">By the farm’s clock, {zone.replaceAll('_', ' ')}.</p>
        {wrong && (
          <p class="form-failure" role="alert">
            {wrong}
          </p>
        )}
        <button type="submit" class="button-main">
          Show
        </button>
      </form>
    </details>
  );
}
