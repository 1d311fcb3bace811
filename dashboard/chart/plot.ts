import 'uplot/dist/uPlot.min.css';
import uPlot from 'uplot';
import { axisLabels } from '../format/time.ts';
import { drawAbove, drawBehind } from './marks.ts';
import { type Palette, readPalette } from './palette.ts';
import { align, type Frame, MAIN } from './plot-content.ts';
import { LEAST_PX, pans, Steer } from './steer.ts';
import { strokeOf } from './strokes.ts';
import { timeMarks } from './time-marks.ts';
import { valueMarks } from './value-marks.ts';

export interface PlotOptions {
  readonly locale: string | undefined;
  /** IANA zone of the time axis. */
  readonly zone: string;
  /** How many lines are drawn over the main one. */
  readonly others: number;
  /** Plots of the same key share their crosshair. */
  readonly sync: string | undefined;
  /** The time under the pointer, Unix ms, or undefined when it left. */
  readonly onCursor: (ts: number | undefined) => void;
  /** A range of time was chosen by hand. Absent: none can be chosen. */
  readonly onRange: ((from: number, to: number) => void) | undefined;
}

/** A drawing of a metric over time: a line through the means, the spread from lowest to highest behind it, other lines over it. */
export class Plot {
  readonly #host: HTMLElement;
  readonly #options: PlotOptions;
  readonly #plot: uPlot;
  readonly #resize: ResizeObserver;
  readonly #steer: Steer | undefined;
  #palette: Palette;
  #frame: Frame | undefined;
  #alone: readonly (readonly number[])[] = [];

  constructor(host: HTMLElement, options: PlotOptions) {
    this.#host = host;
    this.#options = options;
    this.#palette = readPalette(host);
    const empty = Array.from({ length: MAIN + 1 + options.others }, () => []);
    this.#plot = new uPlot(this.#settings(), [[], ...empty.slice(1)], host);
    this.#resize = new ResizeObserver(() => this.#plot.setSize(sizeOf(host)));
    this.#resize.observe(host);
    if (options.onRange) this.#steer = new Steer(this.#plot, { onRange: options.onRange });
    // uPlot follows a mouse by itself; a finger reads the chart as well, while up and down still scroll the page.
    this.#plot.over.addEventListener('pointermove', (event) => {
      if (event.pointerType !== 'touch') return;
      const { left, top } = this.#plot.over.getBoundingClientRect();
      this.#plot.setCursor({ left: event.clientX - left, top: event.clientY - top });
    });
  }

  show(frame: Frame): void {
    if (this.#steer?.busy) return;
    this.#frame = frame;
    const { data, alone } = align(frame);
    this.#alone = alone;
    this.#plot.batch(() => {
      this.#plot.setData(data, false);
      this.#plot.setScale('x', { min: frame.from, max: frame.to });
      this.#plot.setScale('y', { min: frame.span[0], max: frame.span[1] });
    });
  }

  /** Draws again in the colours of the theme in force. */
  repaint(): void {
    this.#palette = readPalette(this.#host);
    this.#plot.redraw(false, true);
  }

  /** Puts the crosshair on the moment `ts`. */
  point(ts: number): void {
    const left = this.#plot.valToPos(ts, 'x');
    this.#plot.setCursor({ left, top: this.#plot.over.clientHeight / 2 });
  }

  close(): void {
    this.#steer?.close();
    this.#resize.disconnect();
    this.#plot.destroy();
  }

  #settings(): uPlot.Options {
    const { locale, zone, others, sync } = this.#options;
    const axis: uPlot.Axis = {
      stroke: () => this.#palette.text,
      font: this.#palette.font,
      grid: { stroke: () => this.#palette.grid, width: 1 },
      ticks: { show: false },
    };
    // The edges of the band: a spike of one bucket is too narrow to be seen by its area.
    const edge: uPlot.Series = { stroke: () => this.#palette.spread, width: 1.25, points: { show: false } };
    return {
      ...sizeOf(this.#host),
      ms: 1,
      padding: [12, 28, 0, 0],
      legend: { show: false },
      cursor: this.#cursor(sync),
      scales: { x: { time: true, auto: false }, y: { auto: false } },
      axes: [
        {
          ...axis,
          size: 44,
          space: 80,
          splits: (_, __, from, to, step) => timeMarks(from, to, step, zone),
          values: (_, marks, __, ___, step) => axisLabels(marks, step, locale, zone),
        },
        {
          ...axis,
          size: (u, texts) => widthOf(u, texts, this.#palette.font),
          space: 36,
          values: (_, marks) => valueMarks(marks, this.#frame?.unit ?? '', locale),
        },
      ],
      series: [
        {},
        edge,
        edge,
        this.#line(() => this.#palette.line, MAIN, 2.25),
        ...Array.from({ length: others }, (_, i) =>
          this.#line(() => this.#palette.others[i % this.#palette.others.length] ?? '', MAIN + 1 + i, 1.75, [
            ...strokeOf(i).dash,
          ]),
        ),
      ],
      bands: [{ series: [1, 2], fill: () => this.#palette.spread }],
      hooks: {
        drawClear: [(u) => drawBehind(u, this.#frame, this.#palette, zone)],
        draw: [(u) => drawAbove(u, this.#frame, this.#palette)],
        setCursor: [(u) => this.#pointed(u)],
        setSelect: [(u) => this.#selected(u)],
      },
    };
  }

  #cursor(sync: string | undefined): uPlot.Cursor {
    const zooms = this.#options.onRange !== undefined;
    return {
      y: false,
      points: { size: 8 },
      drag: { x: zooms, y: false, setScale: false, dist: LEAST_PX },
      bind: {
        mousedown: (_, __, handler) => (event) => {
          if (!pans(event)) handler(event);
          return null;
        },
      },
      ...(sync === undefined
        ? {}
        : { sync: { key: sync, setSeries: false, scales: ['x', null], filters: { pub: sharesCursor } } }),
    };
  }

  #line(stroke: () => string, place: number, width: number, dash: number[] = []): uPlot.Series {
    return {
      stroke,
      width,
      dash,
      points: { show: true, size: 6, fill: stroke, filter: () => [...(this.#alone[place] ?? [])] },
    };
  }

  #pointed(u: uPlot): void {
    const { idx, left = -1 } = u.cursor;
    const ts = idx === undefined || idx === null || left < 0 ? undefined : u.data[0][idx];
    this.#options.onCursor(ts);
  }

  #selected(u: uPlot): void {
    const { left, width } = u.select;
    if (width < LEAST_PX) return;
    const from = u.posToVal(left, 'x');
    const to = u.posToVal(left + width, 'x');
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.#options.onRange?.(from, to);
  }
}

/** A crosshair is shared, a selection is not: one range is chosen once. */
function sharesCursor(type: string): boolean {
  return type === 'mousemove' || type === 'mouseleave';
}

function sizeOf(host: HTMLElement): { width: number; height: number } {
  return { width: Math.max(200, host.clientWidth), height: Math.max(120, host.clientHeight) };
}

/** Room left of the axis of values, px: charts of a page begin at one place, unless a mark is too wide for that. */
const MARKS_PX = 52;
const BESIDE_PX = 12;

function widthOf(u: uPlot, texts: readonly string[] | null, font: string): number {
  u.ctx.font = font;
  const lines = (texts ?? []).flatMap((text) => text.split('\n'));
  return Math.max(MARKS_PX, ...lines.map((line) => Math.ceil(u.ctx.measureText(line).width) + BESIDE_PX));
}
