import { useComputed, useSignal, useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { getHistory } from '../../api/gateway.ts';
import { gatewayNow } from '../../api/gateway-clock.ts';
import { LINE, sparkPath } from '../../chart/spark-path.ts';
import { type Trend, trendOf, WORDS } from '../../chart/trend.ts';
import { minute } from '../../state/device.ts';
import { metricOf } from '../../state/farms.ts';
import { inTurn } from '../../state/in-turn.ts';
import { untilDone } from '../../state/retry.ts';
import { Glyph } from './icons.tsx';

const DAY_MS = 86_400_000;
const POINTS = 48;
/** Sparklines are fetched again this often: they show a day in half hours. */
const EVERY_MINUTES = 10;
/** A sparkline is fetched this far before it is in sight, so that a page of a few dozen is complete on paper too. */
const AHEAD = '300%';

interface SparkProps {
  readonly farm: string;
  readonly of: { readonly sensor: string } | { readonly field: string };
  readonly metric: string;
  readonly trend?: boolean;
}

interface DrawnSpark {
  readonly path: string;
  readonly trend: Trend | undefined;
}

/** The last day as one small line, and its trend. Fetched when it comes near the visible part of the page. */
export function Spark({ farm, of, metric, trend: wantsTrend }: SparkProps) {
  const host = useRef<HTMLSpanElement>(null);
  const seen = useSignal(false);
  const drawn = useSignal<DrawnSpark | undefined>(undefined);
  useEffect(() => {
    const watch = new IntersectionObserver(
      (entries) => {
        seen.value = entries.some((entry) => entry.isIntersecting);
      },
      { rootMargin: AHEAD },
    );
    if (host.current) watch.observe(host.current);
    return () => watch.disconnect();
  }, []);
  const due = useComputed(() => Math.floor(minute.value / EVERY_MINUTES));
  useSignalEffect(() => {
    if (!seen.value || due.value < 0) return undefined;
    const stop = new AbortController();
    const to = Math.round(gatewayNow());
    const query = { farm, ...of, metric, from: to - DAY_MS, to, points: POINTS + 1 };
    const work = async () => {
      const { rows } = await inTurn(() => getHistory(query, stop.signal), stop.signal);
      const points = rows.map(([ts, , , , mean]) => [ts, mean] as const);
      const range = metricOf(metric);
      drawn.value = { path: sparkPath(points, query, range), trend: trendOf(points, range) };
    };
    void untilDone(work, { signal: stop.signal, onProblem: () => undefined });
    return () => stop.abort();
  });
  const trend = drawn.value?.trend;
  return (
    <span class="spark" ref={host}>
      <svg viewBox={`0 0 ${LINE.width} ${LINE.height}`} preserveAspectRatio="none" aria-hidden="true">
        <path d={drawn.value?.path ?? ''} />
      </svg>
      {wantsTrend && trend && (
        <span class={`trend trend-${trend}`} title={`${WORDS[trend]} over the last hours`}>
          <Glyph name={trend} />
          <span class="hidden">{WORDS[trend]}</span>
        </span>
      )}
    </span>
  );
}
