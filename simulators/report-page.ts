import type { LoadReport, ReportInterval } from './load/report.ts';
import { type RunVerdict, tellVerdict } from './verify.ts';

/** What a page shows beside the report. */
export interface PageFacts {
  readonly title: string;
  readonly about: readonly string[];
  readonly verdict?: RunVerdict;
}

interface Curve {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

const LOOKS = `:root{color-scheme:light dark;--ink:#26221c;--paper:#faf8f4;--sheet:#fff;--line:#e5dfd5;--faint:#6b6357;--green:#2f7d4f;--orange:#b85c14;--blue:#2b6cb0;--red:#b23b3b}
@media (prefers-color-scheme:dark){:root{--ink:#ece6db;--paper:#1c1a16;--sheet:#25221d;--line:#3d3830;--faint:#a89f90;--green:#6cc08b;--orange:#e8935a;--blue:#7fb2e8;--red:#ec8181}}`;
const WIDTH = 860;
const HEIGHT = 240;
const LEFT = 64;
const BOTTOM = 28;
const TOP = 12;

/** A report as one HTML page without other files: figures, plots over time, and what was accounted for. */
export function reportPage(report: LoadReport, { title, about, verdict }: PageFacts): string {
  const { stretches } = report;
  const perSecond = (of: (stretch: ReportInterval) => number) =>
    stretches.filter(({ ms }) => ms > 100).map((s): [number, number] => [s.at / 1_000, (of(s) / s.ms) * 1_000]);
  const latency = (of: 'p50' | 'p99' | 'max') =>
    stretches.flatMap((s): [number, number][] => (s.latencyMs ? [[s.at / 1_000, s.latencyMs[of]]] : []));
  const end = Math.max(1, ...stretches.map(({ at }) => at / 1_000));
  const rates = plot(
    'messages a second',
    [
      { name: 'due', colour: 'var(--faint)', points: perSecond((s) => s.due) },
      { name: 'acknowledged', colour: 'var(--green)', points: perSecond((s) => s.acknowledged) },
    ],
    end,
  );
  const times = plot(
    'acknowledgement, ms',
    [
      { name: 'max', colour: 'var(--faint)', points: latency('max') },
      { name: 'p99', colour: 'var(--orange)', points: latency('p99') },
      { name: 'p50', colour: 'var(--blue)', points: latency('p50') },
    ],
    end,
  );
  const waiting = plot(
    'messages waiting',
    [
      { name: 'in flight', colour: 'var(--blue)', points: stretches.map((s) => [s.at / 1_000, s.inFlight]) },
      { name: 'due, not sent', colour: 'var(--red)', points: stretches.map((s) => [s.at / 1_000, s.backlog]) },
    ],
    end,
  );
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escaped(title)}</title>
<style>
${LOOKS}
body{font:16px/1.5 system-ui,sans-serif;max-width:900px;margin:2rem auto;padding:0 1rem;color:var(--ink);background:var(--paper)}
table{border-collapse:collapse}td,th{padding:.2rem 1rem .2rem 0;text-align:left;font-variant-numeric:tabular-nums}
svg{width:100%;height:auto;background:var(--sheet);border:1px solid var(--line);border-radius:6px;margin:.5rem 0}
svg text{font:12px system-ui,sans-serif;fill:var(--faint)}.bad{color:var(--red);font-weight:600}.good{color:var(--green);font-weight:600}
</style>
<h1>${escaped(title)}</h1>
${about.map((line) => `<p>${escaped(line)}</p>`).join('\n')}
${
  verdict
    ? `<h2>Accounts</h2>\n${tellVerdict(verdict)
        .map(
          (line, i, all) =>
            `<p${i === all.length - 1 ? ` class="${verdict.ok ? 'good' : 'bad'}"` : ''}>${escaped(line)}</p>`,
        )
        .join('\n')}`
    : ''
}
<h2>Figures</h2>
<table>${figures(report)
    .map(([name, value]) => `<tr><th>${escaped(name)}</th><td>${escaped(value)}</td></tr>`)
    .join('\n')}</table>
<p${report.generator.wasTheLimit ? ' class="bad"' : ''}>${escaped(report.generator.statement)}</p>
<h2>Rate</h2>
${rates}
<h2>Acknowledgement</h2>
<p>From when a message was due, so that a stall counts for every message that was due in it.</p>
${times}
<h2>Waiting</h2>
${waiting}
</html>
`;
}

function figures(report: LoadReport): [string, string][] {
  const { latencyMs: l } = report;
  const ms = (value: number | undefined) => (value === undefined ? 'none' : `${value.toFixed(1)} ms`);
  return [
    ['ended', report.ended === 'done' ? 'as it was to' : 'early, it was stopped: this report is of a part'],
    ['connections', `${report.connections}`],
    ['time', `${report.seconds.toFixed(1)} s`],
    ['due', `${report.due}`],
    ['sent', `${report.sent}`],
    ['acknowledged', `${report.acknowledged}, ${report.perSecond.toFixed(1)} a second`],
    ['sent again after a break', `${report.resent}`],
    ['not acknowledged', `${report.unacknowledged}`],
    ['acknowledgement p50', ms(l?.p50)],
    ['p90', ms(l?.p90)],
    ['p99', ms(l?.p99)],
    ['p99.9', ms(l?.p999)],
    ['max', ms(l?.max)],
    ['connections lost', `${report.connectionsLost}`],
    ...Object.entries(report.errors).map(([what, count]): [string, string] => [what, `${count} ×`]),
  ];
}

/** Curves over the first `end` seconds of a run as an SVG picture, with axes from 0. */
function plot(title: string, curves: readonly Curve[], end: number): string {
  const points = curves.flatMap((curve) => curve.points);
  const most = nice(Math.max(1, ...points.map(([, y]) => y)));
  const x = (seconds: number) => LEFT + (seconds / end) * (WIDTH - LEFT - 12);
  const y = (value: number) => TOP + (1 - value / most) * (HEIGHT - TOP - BOTTOM);
  const lines = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const at = y(share * most).toFixed(1);
    return `<line x1="${LEFT}" x2="${WIDTH - 12}" y1="${at}" y2="${at}" style="stroke:var(--line)"/><text x="${LEFT - 8}" y="${Number(at) + 4}" text-anchor="end">${short(share * most)}</text>`;
  });
  const paths = curves.map(
    ({ colour, points: own }) =>
      `<polyline fill="none" style="stroke:${colour}" stroke-width="1.6" points="${own.map(([px, py]) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`).join(' ')}"/>`,
  );
  const legend = curves.map(
    ({ name, colour }, i) =>
      `<text x="${LEFT + 8 + i * 120}" y="${TOP + 12}" style="fill:${colour}">${escaped(name)}</text>`,
  );
  const seconds = [0, 0.5, 1].map(
    (share) =>
      `<text x="${x(share * end).toFixed(1)}" y="${HEIGHT - 8}" text-anchor="${share === 1 ? 'end' : 'middle'}">${short(share * end)} s</text>`,
  );
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}"><title>${escaped(title)}</title>${[...lines, ...paths, ...legend, ...seconds].join('')}</svg>`;
}

/** The least of 1, 2, 5, 10, … that is not below `value`. */
function nice(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * power >= value) ?? 10) * power;
}

function short(value: number): string {
  if (value >= 1_000_000) return `${Number((value / 1_000_000).toPrecision(3))} M`;
  if (value >= 10_000) return `${Number((value / 1_000).toPrecision(3))} k`;
  return `${Number(value.toPrecision(3))}`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] ?? c);
}
