import 'uplot/dist/uPlot.min.css';
import uPlot from 'uplot';
import { axisLabels } from '../format/time.ts';
import { formatValue } from '../format/value.ts';
import type { Columns } from './columns.ts';
import { type Palette, readPalette } from './palette.ts';

export interface PlotOptions {
  readonly locale: string | undefined;
  /** IANA zone of the time axis. */
  readonly zone: string;
  readonly decimals: number | undefined;
  /** The place of the value under the pointer in the columns shown, or undefined when it left. */
  readonly onCursor: (index: number | undefined) => void;
}

export interface Frame {
  readonly columns: Columns;
  /** Unix ms. */
  readonly from: number;
  readonly to: number;
  readonly span: readonly [number, number];
  /** The range in which all is well, drawn as a band. */
  readonly normal: { readonly min: number | undefined; readonly max: number | undefined };
}

/** A drawing of one series: a line through the means, the spread from lowest to highest behind it, the metric's range as a band. */
export class Plot {
  readonly #host: HTMLElement;
  readonly #options: PlotOptions;
  readonly #plot: uPlot;
  readonly #resize: ResizeObserver;
  #palette: Palette;
  #frame: Frame | undefined;

  constructor(host: HTMLElement, options: PlotOptions) {
    this.#host = host;
    this.#options = options;
    this.#palette = readPalette(host);
    this.#plot = new uPlot(this.#settings(), [[], [], [], []], host);
    this.#resize = new ResizeObserver(() => this.#plot.setSize(sizeOf(host)));
    this.#resize.observe(host);
    // uPlot follows a mouse by itself; a finger reads the chart as well, while up and down still scroll the page.
    host.addEventListener('pointermove', (event) => {
      if (event.pointerType !== 'touch') return;
      const { left, top } = this.#plot.over.getBoundingClientRect();
      this.#plot.setCursor({ left: event.clientX - left, top: event.clientY - top });
    });
  }

  show(frame: Frame): void {
    const { columns, from, to, span } = frame;
    this.#frame = frame;
    this.#plot.batch(() => {
      this.#plot.setData([columns.ts, columns.max, columns.min, columns.mean], false);
      this.#plot.setScale('x', { min: from, max: to });
      this.#plot.setScale('y', { min: span[0], max: span[1] });
    });
  }

  /** Draws again in the colours of the theme in force. */
  repaint(): void {
    this.#palette = readPalette(this.#host);
    this.#plot.redraw(false, true);
  }

  /** Puts the cursor on the value at `index` of the columns shown; where the line breaks there, on the next one in `direction` (-1 or 1). */
  point(index: number, direction: number): void {
    const { ts, mean } = this.#frame?.columns ?? { ts: [], mean: [] };
    let at = index;
    while (mean[at] === null) at += direction;
    const when = ts[at];
    const value = mean[at];
    if (when === undefined || value === undefined || value === null) return;
    this.#plot.setCursor({ left: this.#plot.valToPos(when, 'x'), top: this.#plot.valToPos(value, 'y') });
  }

  close(): void {
    this.#resize.disconnect();
    this.#plot.destroy();
  }

  #settings(): uPlot.Options {
    const { locale, zone, decimals, onCursor } = this.#options;
    const axis: uPlot.Axis = {
      stroke: () => this.#palette.text,
      font: this.#palette.font,
      grid: { stroke: () => this.#palette.grid, width: 1 },
      ticks: { show: false },
    };
    const hidden: uPlot.Series = { stroke: 'transparent', width: 0, points: { show: false } };
    return {
      ...sizeOf(this.#host),
      ms: 1,
      tzDate: (ts) => uPlot.tzDate(new Date(ts), zone),
      padding: [12, 24, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false, setScale: false }, y: false, points: { size: 9 } },
      scales: { x: { time: true, auto: false }, y: { auto: false } },
      axes: [
        { ...axis, size: 44, space: 72, values: (_, marks, __, ___, step) => axisLabels(marks, step, locale, zone) },
        {
          ...axis,
          size: 52,
          space: 40,
          values: (_, marks, __, ___, step) => marks.map((m) => formatValue(m, placesFor(step, decimals), locale)),
        },
      ],
      series: [
        {},
        hidden,
        hidden,
        {
          stroke: () => this.#palette.line,
          width: 2,
          points: {
            show: true,
            size: 6,
            fill: () => this.#palette.line,
            filter: () => this.#frame?.columns.alone ?? [],
          },
        },
      ],
      bands: [{ series: [1, 2], fill: () => this.#palette.spread }],
      hooks: {
        drawClear: [(u) => this.#drawNormal(u)],
        setCursor: [(u) => onCursor(u.cursor.idx ?? undefined)],
      },
    };
  }

  #drawNormal(u: uPlot): void {
    const { min, max } = this.#frame?.normal ?? {};
    if (min === undefined && max === undefined) return;
    const { left, top, width, height } = u.bbox;
    const place = (bound: number | undefined, otherwise: number) =>
      bound === undefined ? otherwise : Math.round(u.valToPos(bound, 'y', true));
    const upper = place(max, top);
    const lower = place(min, top + height);
    u.ctx.save();
    u.ctx.beginPath();
    u.ctx.rect(left, top, width, height);
    u.ctx.clip();
    u.ctx.fillStyle = this.#palette.normal;
    u.ctx.fillRect(left, upper, width, lower - upper);
    u.ctx.strokeStyle = this.#palette.bound;
    u.ctx.lineWidth = uPlot.pxRatio;
    u.ctx.setLineDash([6 * uPlot.pxRatio, 4 * uPlot.pxRatio]);
    for (const y of [max === undefined ? undefined : upper, min === undefined ? undefined : lower]) {
      if (y === undefined) continue;
      u.ctx.beginPath();
      u.ctx.moveTo(left, y);
      u.ctx.lineTo(left + width, y);
      u.ctx.stroke();
    }
    u.ctx.restore();
  }
}

function sizeOf(host: HTMLElement): { width: number; height: number } {
  return { width: Math.max(200, host.clientWidth), height: Math.max(160, host.clientHeight) };
}

/** Marks of a fine grid need more places than values do. */
function placesFor(step: number, decimals: number | undefined): number {
  const needed = step >= 1 ? 0 : Math.min(6, Math.ceil(-Math.log10(step)));
  return decimals === undefined ? needed : Math.max(needed, Math.min(decimals, 1));
}
