import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { formatValue } from '../../format/value.ts';
import type { Tone } from '../../format/words.ts';
import { type Point, type Projection, scaleOf } from '../../plan/project.ts';
import { locale } from '../../state/device.ts';
import { unitSystem } from '../../state/settings.ts';

interface FrameProps {
  readonly projection: Projection;
  readonly label: string;
  readonly children: ComponentChildren;
  /** What is to be said below it. */
  readonly note?: ComponentChildren;
}

/** How many metres high the letters of the plan on screen are; undefined until it was measured. */
export const letterMetres = signal<number | undefined>(undefined);

/** A drawing in metres. `--metre` is how many metres one pixel is: letters and dots keep their size on every screen. */
export function PlanFrame({ projection, label, children, note }: FrameProps) {
  const { width, height } = projection;
  const { metres, count, unit } = scaleOf(width / 3, unitSystem.value);
  const drawing = useRef<SVGSVGElement>(null);
  useEffect(() => {
    const svg = drawing.current;
    if (svg === null) return undefined;
    const measure = () => {
      const scaled = Math.min(svg.clientWidth / width, svg.clientHeight / height);
      if (scaled <= 0) return;
      svg.style.setProperty('--metre', `${(1 / scaled).toFixed(4)}`);
      letterMetres.value = Number.parseFloat(getComputedStyle(svg).getPropertyValue('--letters')) / scaled;
    };
    const watch = new ResizeObserver(measure);
    watch.observe(svg);
    measure();
    return () => watch.disconnect();
  }, [width, height]);
  return (
    <section class="plan" aria-label={label} style={`--plan-ratio: ${(width / height).toFixed(3)}`}>
      <div class="plan-drawing">
        <svg ref={drawing} viewBox={`0 0 ${width.toFixed(1)} ${height.toFixed(1)}`} aria-label={label}>
          <Hatches metres={width} />
          {children}
        </svg>
        <p class="plan-scale" aria-hidden="true">
          <span style={`width: ${((100 * metres) / width).toFixed(2)}%`} />
          {formatValue(count, undefined, locale)} {unit}
        </p>
        <p class="plan-north" aria-hidden="true" title="North is up">
          N
        </p>
      </div>
      {note}
    </section>
  );
}

/** Patterns beside the colours, for people who cannot tell the colours apart. */
function Hatches({ metres }: { metres: number }) {
  const step = metres / 60;
  return (
    <defs>
      <pattern id="hatch-dry" width={step} height={step} patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <path class="hatch hatch-dry" d={`M0 0V${step}`} stroke-width={step * 0.5} />
      </pattern>
      <pattern id="hatch-wet" width={step} height={step} patternUnits="userSpaceOnUse">
        <circle class="hatch hatch-wet" cx={step / 2} cy={step / 2} r={step * 0.2} stroke-width={step * 0.14} />
      </pattern>
      <pattern
        id="hatch-offline"
        width={step}
        height={step}
        patternUnits="userSpaceOnUse"
        patternTransform="rotate(-45)"
      >
        <path class="hatch hatch-offline" d={`M0 0V${step}M0 0H${step}`} stroke-width={step * 0.2} />
      </pattern>
    </defs>
  );
}

/** Which pattern a tone has: one for too little, one for too much, one for silence. */
const HATCHES: Partial<Record<Tone, 'dry' | 'wet' | 'offline'>> = {
  ...{ dry: 'dry', hot: 'dry', low: 'dry', wet: 'wet', cold: 'wet', high: 'wet' },
  offline: 'offline',
};

interface ShapeProps {
  readonly outline: readonly Point[];
  readonly middle: Point;
  readonly tone: Tone;
  readonly name: string;
  readonly line: string;
}

export function PlanShape({ outline, middle: [x, y], tone, name, line }: ShapeProps) {
  const points = outline.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(' ');
  const hatch = HATCHES[tone];
  return (
    <>
      <polygon class={`plan-field plan-${tone}`} points={points} />
      {hatch && <polygon class="plan-hatch" points={points} fill={`url(#hatch-${hatch})`} />}
      <text class="plan-label" x={x} y={y}>
        <tspan class="plan-name" x={x} dy={line ? '-0.6em' : undefined}>
          {name}
        </tspan>
        {/* For screen readers; without a width, which would move the name off the middle. */}
        <tspan class="plan-gap"> </tspan>
        {line && (
          <tspan class={`plan-line text-${tone}`} x={x} dy="1.25em">
            {line}
          </tspan>
        )}
      </text>
    </>
  );
}
