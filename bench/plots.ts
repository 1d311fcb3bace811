/** What a plot is drawn from; see Outcome. */
interface Drawn {
  readonly bench: string;
  readonly unit: string;
  readonly loam: number;
  readonly peers: Readonly<Record<string, number>>;
  readonly detail: Readonly<Record<string, Readonly<Record<string, string | number>>>>;
}

const INK = '#26221c';
const LINES = ['#2f7d4f', '#b5651d', '#3b6ea5', '#7a4f9a'];

/** Loam's figure and its peers' as bars, with the spread as a line with ends across the end of each; without a peer the rows of `detail`. */
export function bars({ bench, unit, loam, peers, detail }: Drawn): string {
  const alone = Object.entries(detail).flatMap(([name, { median }]) =>
    typeof median === 'number' ? [[name, median] as const] : [],
  );
  const rows = Object.keys(peers).length === 0 && alone.length > 0 ? alone : Object.entries({ loam, ...peers });
  const left = 24 + 7 * Math.max(...rows.map(([name]) => name.length));
  const most = Math.max(...rows.map(([name, figure]) => Number(detail[name]?.highest ?? figure)), 1e-9);
  const x = (value: number) => (left + (value / most) * (680 - left)).toFixed(1);
  const drawn = rows.map(([name, figure], i) => {
    const y = 34 + i * 34;
    const { lowest, highest } = detail[name] ?? {};
    const spread =
      typeof lowest === 'number' && typeof highest === 'number' ? whisker(x(lowest), x(highest), y + 10) : '';
    const width = (Number(x(figure)) - left).toFixed(1);
    return `<text x="${left - 10}" y="${y + 15}" text-anchor="end">${name}</text><rect x="${left}" y="${y}" width="${width}" height="20" rx="2" fill="${i === 0 ? LINES[0] : '#c9bfae'}"/>${spread}<text x="750" y="${y + 15}" text-anchor="end">${short(figure)}</text>`;
  });
  const title = `<text x="${left}" y="20" font-weight="600">${unit}</text>`;
  return picture(`${bench}: ${unit}`, 44 + rows.length * 34, title + drawn.join(''));
}

/** Readings stored a second over the number of sensors (a logarithmic axis), a line for each number of workers, with the spread at each point. */
export function curves({ bench, unit, detail }: Drawn): string {
  const points = Object.values(detail).flatMap(({ sensors, workers, median, lowest, highest }) =>
    typeof sensors === 'number' && typeof workers === 'number' && typeof median === 'number'
      ? [{ sensors, workers, median, lowest: Number(lowest), highest: Number(highest) }]
      : [],
  );
  const [top, bottom, left, right] = [48, 300, 70, 640];
  const counts = [...new Set(points.map(({ sensors }) => sensors))].sort((a, b) => a - b);
  const logs = counts.map(Math.log10);
  const [first, last] = [logs[0] ?? 0, logs.at(-1) ?? 1];
  const step = 10 ** Math.floor(Math.log10(Math.max(...points.map(({ highest }) => highest))));
  const most = Math.ceil(Math.max(...points.map(({ highest }) => highest)) / step) * step;
  const x = (sensors: number) => left + ((Math.log10(sensors) - first) / (last - first || 1)) * (right - left);
  const y = (rate: number) => bottom - (rate / most) * (bottom - top);
  const grid = Array.from({ length: Math.round(most / step) + 1 }, (_, i) => {
    const at = y(i * step).toFixed(1);
    return `<line x1="${left}" x2="${right}" y1="${at}" y2="${at}" stroke="#e3dccf"/><text x="${left - 8}" y="${Number(at) + 4}" text-anchor="end">${short(i * step)}</text>`;
  });
  const ticks = counts.map(
    (count) => `<text x="${x(count).toFixed(1)}" y="${bottom + 20}" text-anchor="middle">${short(count)}</text>`,
  );
  const lines = [...new Set(points.map(({ workers }) => workers))].map((workers, i) => {
    const own = points.filter((point) => point.workers === workers);
    // A little aside, so that one line's spread does not hide another's.
    const at = (sensors: number) => (x(sensors) + (i - 1) * 4).toFixed(1);
    const path = own.map(({ sensors, median }) => `${at(sensors)},${y(median).toFixed(1)}`).join(' ');
    const marks = own.map(
      ({ sensors, median, lowest, highest }) =>
        `<line x1="${at(sensors)}" x2="${at(sensors)}" y1="${y(lowest).toFixed(1)}" y2="${y(highest).toFixed(1)}" stroke="${LINES[i]}" stroke-width="1.5"/><circle cx="${at(sensors)}" cy="${y(median).toFixed(1)}" r="3.5" fill="${LINES[i]}"/>`,
    );
    const label = `<text x="660" y="${70 + i * 22}" fill="${LINES[i]}" font-weight="600">${workers} worker${workers === 1 ? '' : 's'}</text>`;
    return `<polyline points="${path}" fill="none" stroke="${LINES[i]}" stroke-width="2"/>${marks.join('')}${label}`;
  });
  const words = `<text x="${left}" y="24" font-weight="600">${unit}</text><text x="${(left + right) / 2}" y="${bottom + 42}" text-anchor="middle">sensors</text>`;
  return picture(`${bench}: ${unit}`, 350, [words, ...grid, ...ticks, ...lines].join(''));
}

/** A figure with the digits that can be trusted. */
export function short(value: number): string {
  return Math.abs(value) >= 1_000 ? Math.round(value).toLocaleString('en') : `${Number(value.toPrecision(3))}`;
}

function whisker(from: string, to: string, y: number): string {
  const ends = [from, to].map(
    (x) => `<line x1="${x}" x2="${x}" y1="${y - 5}" y2="${y + 5}" stroke="${INK}" stroke-width="1.5"/>`,
  );
  return `<line x1="${from}" x2="${to}" y1="${y}" y2="${y}" stroke="${INK}" stroke-width="1.5"/>${ends.join('')}`;
}

function picture(title: string, height: number, content: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 ${height}" font-family="system-ui,sans-serif" font-size="13" fill="${INK}"><title>${title}</title><rect width="100%" height="100%" fill="#faf8f4"/>${content}</svg>\n`;
}
