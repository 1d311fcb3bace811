import { type Signal, useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { gatewayClock } from '../../api/gateway-clock.ts';
import { formatTimeOfDay } from '../../format/time.ts';
import { STEP_MS } from '../../state/day.ts';
import { locale } from '../../state/device.ts';
import { Glyph } from '../common/icons.tsx';

const MINUTE_MS = 60_000;
/** How much of the day goes by in a second. */
const SPEEDS = [
  { label: '10 min/s', perSecond: 10 * MINUTE_MS },
  { label: '30 min/s', perSecond: 30 * MINUTE_MS },
  { label: '2 h/s', perSecond: 120 * MINUTE_MS },
] as const;
/** Redrawn this often while it plays: smoother is not seen. */
const FRAME_MS = 50;

interface PlayerProps {
  readonly at: Signal<number>;
  readonly from: number;
  readonly to: number;
  readonly zone: string;
}

export function Player({ at, from, to, zone }: PlayerProps) {
  const playing = useSignal(false);
  const speed = useSignal<number>(SPEEDS[1].perSecond);
  useEffect(() => {
    let before = gatewayClock.passed();
    const timer = setInterval(() => {
      const time = gatewayClock.passed();
      const passed = time - before;
      before = time;
      if (!playing.peek()) return;
      at.value = Math.min(to, at.peek() + (passed / 1000) * speed.peek());
      if (at.peek() >= to) playing.value = false;
    }, FRAME_MS);
    return () => clearInterval(timer);
  }, []);
  const toggle = () => {
    if (!playing.value && at.peek() >= to) at.value = from;
    playing.value = !playing.value;
  };
  const jump = (event: Event) => {
    if (event.currentTarget instanceof HTMLInputElement) at.value = event.currentTarget.valueAsNumber;
  };
  const clock = formatTimeOfDay(at.value, from, locale, zone);
  return (
    <div class="player">
      <button type="button" class="button-main player-button" onClick={toggle}>
        <Glyph name={playing.value ? 'pause' : 'play'} />
        {playing.value ? 'Pause' : 'Play'}
      </button>
      <output class="player-clock">{clock}</output>
      <input
        class="player-slider"
        type="range"
        aria-label="Time of day"
        aria-valuetext={clock}
        min={from}
        max={to}
        step={STEP_MS / 5}
        value={at.value}
        onInput={jump}
      />
      <fieldset class="segments" aria-label="Speed">
        {SPEEDS.map(({ label, perSecond }) => (
          <button
            key={label}
            type="button"
            aria-pressed={speed.value === perSecond}
            onClick={() => {
              speed.value = perSecond;
            }}
          >
            {label}
          </button>
        ))}
      </fieldset>
    </div>
  );
}
