import { STROKES } from './strokes.ts';

/** The chart's colours. A canvas knows no style sheet, so they are read from the custom properties of the theme in force. */
export interface Palette {
  readonly line: string;
  readonly spread: string;
  readonly normal: string;
  readonly bound: string;
  readonly grid: string;
  readonly day: string;
  readonly late: string;
  readonly text: string;
  readonly surface: string;
  readonly font: string;
  /** Of lines that are compared, told apart also by their order in the legend. */
  readonly others: readonly string[];
}

export const OTHERS = STROKES.length;

export function readPalette(host: HTMLElement): Palette {
  const style = getComputedStyle(host);
  const color = (name: string) => style.getPropertyValue(name).trim();
  return {
    line: color('--chart-line'),
    spread: color('--chart-spread'),
    normal: color('--chart-normal'),
    bound: color('--chart-bound'),
    grid: color('--chart-grid'),
    day: color('--chart-day'),
    late: color('--late'),
    text: color('--muted'),
    surface: color('--surface'),
    font: `13px ${style.fontFamily}`,
    others: Array.from({ length: OTHERS }, (_, i) => color(`--series-${i + 1}`)),
  };
}
