import type { ProcessSample } from './processes.ts';

const WIDTH = 900;
const HEIGHT = 420;
const LEFT = 60;
const RIGHT = 160;
const TOP = 40;
const BOTTOM = 40;
const COLOURS = ['#1b6e3c', '#b3541e', '#2f5d9b', '#8a2c6b', '#6b6b00', '#006d77', '#333333'];

/** Memory over time as an SVG: a line a process. */
export function memoryPlot(title: string, samples: readonly ProcessSample[]): string {
  const names = [...new Set(samples.flatMap(({ mb }) => Object.keys(mb)))].sort();
  const end = Math.max(1, ...samples.map(({ at }) => at));
  const most = Math.max(100, ...samples.flatMap(({ mb }) => Object.values(mb))) * 1.1;
  const x = (at: number) => LEFT + (at / end) * (WIDTH - LEFT - RIGHT);
  const y = (mb: number) => HEIGHT - BOTTOM - (mb / most) * (HEIGHT - TOP - BOTTOM);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<title>${title}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="22" font-size="15">${title}</text>`,
  ];
  for (const mb of ticks(most)) {
    parts.push(
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(mb)}" y2="${y(mb)}" stroke="#dddddd"/>`,
      `<text x="${LEFT - 6}" y="${y(mb) + 4}" text-anchor="end">${mb} MB</text>`,
    );
  }
  for (const at of ticks(end)) {
    parts.push(`<text x="${x(at)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${at} s</text>`);
  }
  for (const [i, name] of names.entries()) {
    const colour = COLOURS[i % COLOURS.length] ?? '#000000';
    const points = samples.flatMap(({ at, mb }) => {
      const memory = mb[name];
      return memory === undefined ? [] : [`${x(at).toFixed(1)},${y(memory).toFixed(1)}`];
    });
    const last = samples.findLast(({ mb }) => mb[name] !== undefined)?.mb[name] ?? 0;
    parts.push(
      `<polyline fill="none" stroke="${colour}" stroke-width="1.5" points="${points.join(' ')}"/>`,
      `<text x="${WIDTH - RIGHT + 8}" y="${TOP + 10 + i * 18}" fill="${colour}">${name}: ${Math.round(last)} MB</text>`,
    );
  }
  return `${[...parts, '</svg>'].join('\n')}\n`;
}

/** About five round numbers up to `end`. */
function ticks(end: number): number[] {
  const rough = end / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, i) => Math.round(i * step));
}
