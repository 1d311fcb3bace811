import type { Counter, Histogram } from 'prom-client';
import { clock } from '../../core/clock.ts';
import type { Metrics } from '../../core/metrics.ts';
import type { TurnedAwayBy } from './door.ts';

interface RequestGauges {
  readonly open: () => number;
  readonly rooms: () => { readonly anonymous: number };
}

/** What the HTTP side of a gateway counts, for `/metrics`. Routes are named by their path with its parameters unfilled. */
export class HttpCounters {
  private readonly requests: Counter<'route' | 'status'>;
  private readonly seconds: Histogram<'route'>;

  private readonly away: Counter<'why'>;

  constructor(metrics: Metrics, now: RequestGauges) {
    this.requests = metrics.counter('loam_http_requests_total', 'HTTP requests, by route and status', [
      'route',
      'status',
    ]);
    this.seconds = metrics.histogram('loam_http_request_seconds', 'From a request to the end of its answer', {
      labels: ['route'],
    });
    this.away = metrics.counter(
      'loam_http_turned_away_total',
      'HTTP requests not let in, or ended before their body came',
      ['why'],
    );
    metrics.gauge('loam_http_open_requests', 'HTTP requests that are being answered', now.open);
    metrics.gauge('loam_http_anonymous_requests', 'Of those, the ones without a session', () => now.rooms().anonymous);
  }

  /** Counts a request that was not let in, or ended before its body had come. */
  ended(why: TurnedAwayBy): void {
    this.away.inc({ why });
  }

  /** Counts a request that was refused before its route was looked up. */
  turnedAway(status: number): void {
    this.requests.inc({ route: 'refused', status });
  }

  /** Counts a request that begins. Call the result with the status of the answer, or with 0 when the client left before it. */
  begin(route: string): (status: number) => void {
    const begun = clock.passed();
    return (status) => {
      this.requests.inc({ route, status });
      this.seconds.observe({ route }, (clock.passed() - begun) / 1000);
    };
  }
}
