/** The chart's colours. A canvas knows no style sheet, so they are read from the custom properties of the theme in force. */
export interface Palette {
  readonly line: string;
  readonly spread: string;
  readonly normal: string;
  readonly bound: string;
  readonly grid: string;
  readonly text: string;
  readonly surface: string;
  readonly font: string;
}

export function readPalette(host: HTMLElement): Palette {
  const style = getComputedStyle(host);
  const color = (name: string) => style.getPropertyValue(name).trim();
  return {
    line: color('--chart-line'),
    spread: color('--chart-spread'),
    normal: color('--chart-normal'),
    bound: color('--chart-bound'),
    grid: color('--chart-grid'),
    text: color('--muted'),
    surface: color('--surface'),
    font: `13px ${style.fontFamily}`,
  };
}
