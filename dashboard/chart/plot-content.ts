import uPlot from 'uplot';
import type { Columns } from './columns.ts';

/** What a plot shows at one moment, in shown units. */
export interface Frame {
  /** The main line with its band; absent where only others are compared. */
  readonly main: Columns | undefined;
  /** Lines over it, as many as the plot was made for. */
  readonly others: readonly Columns[];
  /** Unix ms. */
  readonly from: number;
  readonly to: number;
  readonly span: readonly [number, number];
  /** Of the values: a reader may choose another while the plot is there. */
  readonly unit: string;
  /** The range in which all is well, drawn as a band. */
  readonly normal: { readonly min: number | undefined; readonly max: number | undefined };
  /** A moment to point out, Unix ms. */
  readonly mark: number | undefined;
}

export const NO_COLUMNS: Columns = { ts: [], min: [], max: [], mean: [], alone: [], late: new Map() };

/** The place of each line among uPlot's series: time, upper and lower edge of the band, main line, others. */
export const MAIN = 3;

export interface Aligned {
  readonly data: uPlot.AlignedData;
  /** By uPlot's series: places of values that stand alone. */
  readonly alone: readonly (readonly number[])[];
}

/** All lines on one axis of time. Where a line has no value at another's time it goes on; where it has a `null` it breaks. */
export function align({ main = NO_COLUMNS, others }: Frame): Aligned {
  const first: uPlot.AlignedData = [main.ts, main.max, main.min, main.mean];
  if (others.length === 0) return { data: first, alone: [[], [], [], main.alone] };
  const data = uPlot.join([first, ...others.map((o): uPlot.AlignedData => [o.ts, o.mean])]);
  const places = new Map([...data[0]].map((ts, i) => [ts, i]));
  const alone = [main, ...others].map(({ alone, ts }) => alone.flatMap((i) => places.get(ts[i] ?? Number.NaN) ?? []));
  return { data, alone: [[], [], [], ...alone] };
}
