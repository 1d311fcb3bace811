import type { Metrics } from '../../core/metrics.ts';
import type { LiveCounters } from './counters.ts';
import type { LiveHub } from './hub.ts';
import type { LiveSockets } from './sockets/sockets.ts';

/** Shows what the live part of a gateway counts. */
export function showLive(metrics: Metrics, counters: LiveCounters, hub: LiveHub, sockets: LiveSockets): void {
  metrics.counts('loam_live_frames_total', 'Frames made for viewers, by type; rows: those of readings', () => ({
    ...counters.frames,
  }));
  metrics.counts('loam_live_gaps_total', 'Subscriptions that were told of a gap, by reason', () => ({
    ...counters.gaps,
  }));
  metrics.counts('loam_live_resumes_total', 'Subscriptions that got what they had missed, by where it was', () => ({
    ...counters.resumes,
  }));
  metrics.counts('loam_live_rewind_total', 'The live log read back for viewers: passes, entries, bytes', () => ({
    ...counters.catchUp,
  }));
  metrics.counts('loam_live_slow_total', 'Sockets that became slow, fast again, or were closed as dead', () => ({
    ...counters.slow,
  }));
  metrics.counts('loam_live_refused_total', 'Handshakes and messages of viewers that were refused', () => ({
    ...counters.refused,
  }));
  metrics.counts('loam_live_ended_total', 'Sockets and subscriptions ended because rights ended', () => ({
    ...counters.ended,
  }));
  metrics.counts('loam_live_left_out_total', 'Entries that cannot be read; values beyond what memory may hold', () => ({
    undecodable: hub.feed.undecodable,
    values: hub.gauges.leftOut,
  }));
  metrics.gauge('loam_live_sockets', 'Open WebSockets', () => sockets.gauges.open);
  metrics.gauge('loam_live_slow_sockets', 'Of those, the ones that read too slowly', () => sockets.gauges.slow);
  metrics.gauge('loam_live_waiting_bytes', 'Bytes that wait for slow readers', () => sockets.gauges.waitingBytes);
  metrics.gauge('loam_live_tick_seconds', 'How long a tick lasts now', () => hub.gauges.tickMs / 1_000);
  metrics.gauge('loam_live_farms', 'Farms held in memory', () => hub.gauges.farms);
  metrics.gauge('loam_live_kept_readings', 'Readings held in memory for those who come back', () => hub.gauges.kept);
}
