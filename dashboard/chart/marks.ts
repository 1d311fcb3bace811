import type uPlot from 'uplot';
import { midnights } from '../format/zone.ts';
import type { Columns } from './columns.ts';
import type { Palette } from './palette.ts';
import type { Frame } from './plot-content.ts';
import { isMarked, MARK, type Stroke, strokeOf } from './strokes.ts';

const DAY_MS = 86_400_000;
/** Over a longer range the days' borders would be a grid of their own. */
const MOST_DAYS = 45;

/** Behind the lines: the metric's range, and where the farm's days begin. */
export function drawBehind(u: uPlot, frame: Frame | undefined, palette: Palette, zone: string): void {
  if (frame === undefined) return;
  clipped(u, () => {
    drawNormal(u, frame, palette);
    if (frame.to - frame.from > MOST_DAYS * DAY_MS) return;
    u.ctx.strokeStyle = palette.day;
    u.ctx.lineWidth = devicePixelRatio;
    u.ctx.setLineDash([]);
    for (const ts of midnights(frame.from, frame.to, zone)) vertical(u, ts);
  });
}

/** Above the lines: the marks that tell them apart, what stands alone, what arrived late, and the moment pointed out. */
export function drawAbove(u: uPlot, frame: Frame | undefined, palette: Palette): void {
  if (frame === undefined) return;
  clipped(u, () => {
    for (const [i, line] of frame.others.entries()) drawMarks(u, line, i, palette);
    if (frame.main) drawAlone(u, frame.main, palette);
    u.ctx.fillStyle = palette.late;
    const size = 4 * devicePixelRatio;
    const floor = u.bbox.top + u.bbox.height;
    // Where hours of values came late together, the marks of single buckets grow into a strip.
    for (const i of frame.main?.late.keys() ?? []) {
      const x = u.valToPos(frame.main?.ts[i] ?? Number.NaN, 'x', true);
      u.ctx.fillRect(x - size, floor - size, 2 * size, size);
    }
    if (frame.mark === undefined) return;
    u.ctx.strokeStyle = palette.text;
    u.ctx.lineWidth = 2 * devicePixelRatio;
    u.ctx.setLineDash([]);
    vertical(u, frame.mark);
  });
}

/** Marks upon line `i`, now and then: all of its points would be a band. */
function drawMarks(u: uPlot, { ts, mean }: Columns, i: number, palette: Palette): void {
  const stroke = strokeOf(i);
  u.ctx.fillStyle = palette.others[i % palette.others.length] ?? '';
  u.ctx.strokeStyle = palette.surface;
  u.ctx.lineWidth = devicePixelRatio;
  u.ctx.setLineDash([]);
  let before: number | undefined;
  for (const [place, value] of mean.entries()) {
    if (value === null) continue;
    const x = u.valToPos(ts[place] ?? Number.NaN, 'x', true) - u.bbox.left;
    if (x < 0 || x > u.bbox.width || !isMarked(x / devicePixelRatio, before, i)) continue;
    before = x / devicePixelRatio;
    const path = markPath(stroke, x + u.bbox.left, u.valToPos(value, 'y', true), devicePixelRatio);
    u.ctx.fill(path);
    u.ctx.stroke(path);
  }
}

/** The path of a mark around (`x`, `y`), which are device pixels of `ratio` a CSS pixel. */
function markPath({ mark }: Stroke, x: number, y: number, ratio: number): Path2D {
  const path = new Path2D();
  for (const [right, down] of mark) path.lineTo(x + right * MARK * ratio, y + down * MARK * ratio);
  path.closePath();
  return path;
}

/** From the lowest to the highest of a bucket without neighbours: a band has no width there. */
function drawAlone(u: uPlot, { ts, min, max, alone }: Columns, palette: Palette): void {
  u.ctx.strokeStyle = palette.line;
  u.ctx.lineWidth = 1.5 * devicePixelRatio;
  u.ctx.setLineDash([]);
  for (const place of alone) {
    const x = Math.round(u.valToPos(ts[place] ?? Number.NaN, 'x', true));
    u.ctx.beginPath();
    u.ctx.moveTo(x, u.valToPos(min[place] ?? Number.NaN, 'y', true));
    u.ctx.lineTo(x, u.valToPos(max[place] ?? Number.NaN, 'y', true));
    u.ctx.stroke();
  }
}

function drawNormal(u: uPlot, { normal: { min, max } }: Frame, palette: Palette): void {
  if (min === undefined && max === undefined) return;
  const { left, top, width, height } = u.bbox;
  const place = (bound: number | undefined, otherwise: number) =>
    bound === undefined ? otherwise : Math.round(u.valToPos(bound, 'y', true));
  const upper = place(max, top);
  const lower = place(min, top + height);
  u.ctx.fillStyle = palette.normal;
  u.ctx.fillRect(left, upper, width, lower - upper);
  u.ctx.strokeStyle = palette.bound;
  u.ctx.lineWidth = devicePixelRatio;
  u.ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
  for (const y of [max === undefined ? undefined : upper, min === undefined ? undefined : lower]) {
    if (y === undefined) continue;
    u.ctx.beginPath();
    u.ctx.moveTo(left, y);
    u.ctx.lineTo(left + width, y);
    u.ctx.stroke();
  }
}

function vertical(u: uPlot, ts: number): void {
  const x = Math.round(u.valToPos(ts, 'x', true));
  u.ctx.beginPath();
  u.ctx.moveTo(x, u.bbox.top);
  u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
  u.ctx.stroke();
}

function clipped(u: uPlot, draw: () => void): void {
  const { left, top, width, height } = u.bbox;
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(left, top, width, height);
  u.ctx.clip();
  draw();
  u.ctx.restore();
}
