import type { LiveState } from '../../../client/events.ts';
import { formatMoment } from '../../format/time.ts';
import { locale, now, slowNow } from '../../state/device.ts';
import { zone } from '../../state/farms.ts';
import { connection } from '../../state/sensors.ts';
import { Notice } from '../common/notice.tsx';

type ConnectionTone = 'live' | 'busy' | 'lost';

/** The state of the live connection in a few words that are always visible. */
export function Connection() {
  const state = connection.value;
  if (state.phase === 'idle') return <span class="connection" />;
  const { tone, words, title } = describe(state);
  return (
    <p class={`connection connection-${tone}`} role="status" title={title}>
      {words}
    </p>
  );
}

/** Until it was live once, the first attempt is just "Connecting"; later, it says since when nothing has come. */
function describe(state: LiveState): { tone: ConnectionTone; words: string; title?: string } {
  switch (state.phase) {
    case 'idle':
      return { tone: 'busy', words: '' };
    case 'live':
      if (state.tickMs === undefined || state.tickMs <= 200) return { tone: 'live', words: 'Live' };
      return {
        tone: 'busy',
        words: 'Live, slowed down',
        title: `This line is slow: news come every ${(state.tickMs / 1000).toFixed(1)} s, always the newest.`,
      };
    case 'catching-up':
      return { tone: 'busy', words: state.storeAway ? 'Waiting for the store' : 'Catching up' };
    case 'connecting':
      return state.lostAt === undefined ? { tone: 'busy', words: 'Connecting' } : offline(state.lostAt);
    case 'waiting':
      return offline(state.lostAt);
    case 'refused':
      return { tone: 'lost', words: 'Refused' };
  }
}

function offline(since: number): { tone: ConnectionTone; words: string } {
  return { tone: 'lost', words: `Offline since ${formatMoment(since, slowNow.value, locale, zone.value)}` };
}

/**
 * The notice of a break of 10 s or longer, and what it means for the values on screen. A shorter break is over before
 * anybody has read a notice.
 */
export function Outage() {
  const state = connection.value;
  if (state.phase === 'refused') {
    return (
      <Notice title="Live values were refused">
        <p>{state.message || state.code}. Reload this page; if that does not help, ask your administrator.</p>
      </Notice>
    );
  }
  const lostAt = 'lostAt' in state ? state.lostAt : undefined;
  if (lostAt === undefined || now.value - lostAt < 10_000) return null;
  return (
    <p class="banner banner-late" role="status">
      No connection to Loam since {formatMoment(lostAt, slowNow.value, locale, zone.value)}: what you see is from then.
      Trying again by itself; what is missed meanwhile is filled in.
    </p>
  );
}
