import { useEffect, useRef, useState } from 'preact/hooks';
import type { LiveState } from '../../client/events.ts';
import { advice, asProblem } from '../api/problem.ts';
import type { Me } from '../api/shapes.ts';
import { formatMoment } from '../format/time.ts';
import { locale, slowNow } from '../state/device.ts';
import { farm, known } from '../state/farms.ts';
import { go } from '../state/router.ts';
import { connection } from '../state/sensors.ts';
import { leave } from '../state/session.ts';
import { Logo } from './icons.tsx';
import { choosing } from './password.tsx';

export function Header({ me }: { me: Me }) {
  return (
    <header class="top">
      <a class="brand" href="/">
        <Logo />
        <span class="brand-name">Loam</span>
      </a>
      <FarmChooser />
      <Connection />
      <AccountMenu me={me} />
    </header>
  );
}

function FarmChooser() {
  const farms = known.value?.farms ?? [];
  const current = farm.value;
  if (farms.length < 2) return <h1 class="farm-name">{current?.name}</h1>;
  const choose = (event: Event) => {
    if (event.currentTarget instanceof HTMLSelectElement) go({ page: 'farm', farm: event.currentTarget.value });
  };
  return (
    <h1 class="farm-name">
      <select class="farm-chooser" aria-label="Farm" value={current?.id ?? ''} onChange={choose}>
        {current === undefined && <option value="">Choose a farm</option>}
        {farms.map((f) => (
          <option key={f.id} value={f.id}>
            {f.name}
          </option>
        ))}
      </select>
    </h1>
  );
}

function Connection() {
  const state = connection.value;
  if (state.phase === 'idle') return <span class="connection" />;
  const { tone, words } = describe(state);
  return (
    <p class={`connection connection-${tone}`} role="status">
      {words}
    </p>
  );
}

/** Until it was live once, a first try is simply connecting; afterwards it counts how long nothing has come. */
function describe(state: LiveState): { tone: string; words: string } {
  switch (state.phase) {
    case 'idle':
      return { tone: 'busy', words: '' };
    case 'live':
      return state.tickMs !== undefined && state.tickMs > 200
        ? { tone: 'live', words: 'Live, slowed down' }
        : { tone: 'live', words: 'Live' };
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

function offline(since: number): { tone: string; words: string } {
  return { tone: 'lost', words: `Offline since ${formatMoment(since, slowNow.value, locale)}` };
}

function AccountMenu({ me }: { me: Me }) {
  const menu = useRef<HTMLDetailsElement>(null);
  const [failure, setFailure] = useState<string | undefined>(undefined);
  const close = () => {
    if (menu.current) menu.current.open = false;
  };
  useEffect(() => {
    const outside = (event: Event) => {
      if (event.target instanceof Node && !menu.current?.contains(event.target)) close();
    };
    document.addEventListener('pointerdown', outside);
    return () => document.removeEventListener('pointerdown', outside);
  }, []);
  const closeOnEscape = (event: KeyboardEvent) => {
    if (event.key !== 'Escape') return;
    close();
    menu.current?.querySelector('summary')?.focus();
  };
  const openPassword = () => {
    close();
    choosing.value = true;
  };
  const signOut = async () => {
    try {
      await leave();
    } catch (error) {
      // Only the gateway can take the cookie away: until it did, the user is still signed in and must see that.
      setFailure(`You are still signed in. ${advice(asProblem(error))}`);
    }
  };
  return (
    <details class="account" ref={menu} onKeyDown={closeOnEscape}>
      <summary aria-label={`Account: ${me.user}`}>
        <span class="account-name">{me.user}</span>
      </summary>
      <div class="account-menu">
        <p class="quiet">
          Signed in as <b>{me.user}</b>
          {farm.value && `, ${farm.value.role} of this farm`}
        </p>
        <button type="button" onClick={openPassword}>
          {me.passwordSet ? 'Change password' : 'Choose a password'}
        </button>
        <button type="button" onClick={() => void signOut()}>
          Sign out
        </button>
        {failure && (
          <p class="form-failure" role="alert">
            {failure}
          </p>
        )}
      </div>
    </details>
  );
}
