import { useEffect, useRef } from 'preact/hooks';
import type { Me } from '../../api/shapes.ts';
import { farm, known } from '../../state/farms.ts';
import { go, route } from '../../state/router.ts';
import { addressOf, type KnownRoute } from '../../state/routes.ts';
import { Glyph, type GlyphName, Logo } from '../common/icons.tsx';
import { SignOut } from '../common/sign-out.tsx';
import { Connection } from './connection.tsx';

export function Header({ me }: { me: Me }) {
  return (
    <header class="top">
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <a class="brand" href={farm.value ? addressOf({ page: 'farm', farm: farm.value.id }) : '/'}>
        <Logo />
        <span class="brand-name">Loam</span>
      </a>
      <FarmChooser />
      <Tabs />
      <Connection />
      <AccountMenu me={me} />
    </header>
  );
}

function FarmChooser() {
  const farms = known.value?.farms ?? [];
  const current = farm.value;
  if (farms.length < 2) return <p class="farm-name">{current?.name}</p>;
  const choose = (event: Event) => {
    if (event.currentTarget instanceof HTMLSelectElement) go({ page: 'farm', farm: event.currentTarget.value });
  };
  return (
    <p class="farm-name">
      <select class="farm-chooser" aria-label="Farm" value={current?.id ?? ''} onChange={choose}>
        {current === undefined && <option value="">Choose a farm</option>}
        {farms.map((f) => (
          <option key={f.id} value={f.id}>
            {f.name}
          </option>
        ))}
      </select>
    </p>
  );
}

interface Tab {
  readonly to: KnownRoute;
  readonly label: string;
  readonly glyph: GlyphName;
  /** The pages that belong to the tab. */
  readonly pages: readonly string[];
}

/** The tabs of the farm's pages: at the top of a wide screen, at the bottom of a phone, where the thumb is. */
function Tabs() {
  const current = farm.value;
  if (current === undefined) return null;
  const { id } = current;
  const tabs: Tab[] = [
    { to: { page: 'farm', farm: id }, label: 'Farm', glyph: 'farm', pages: ['farm', 'field', 'sensor'] },
    {
      to: { page: 'playback', farm: id, day: undefined, metric: undefined },
      label: 'Playback',
      glyph: 'playback',
      pages: ['playback'],
    },
    { to: { page: 'sensors', farm: id }, label: 'Sensors', glyph: 'sensors', pages: ['sensors'] },
  ];
  if (current.role === 'admin') {
    tabs.push({
      to: { page: 'dead-letters', farm: id },
      label: 'Dead letters',
      glyph: 'letters',
      pages: ['dead-letters'],
    });
  }
  tabs.push({ to: { page: 'system' }, label: 'System', glyph: 'system', pages: ['system', 'events'] });
  return (
    <nav class="tabs" aria-label="Pages">
      {tabs.map(({ to, label, glyph, pages }) => (
        <a key={label} href={addressOf(to)} aria-current={pages.includes(route.value.page) ? 'page' : undefined}>
          <Glyph name={glyph} />
          <span>{label}</span>
        </a>
      ))}
    </nav>
  );
}

function AccountMenu({ me }: { me: Me }) {
  const menu = useRef<HTMLDetailsElement>(null);
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
  return (
    <details class="account" ref={menu} onKeyDown={closeOnEscape}>
      <summary aria-label={`Account: ${me.user}`}>
        <Glyph name="account" />
        <span class="account-name">{me.user}</span>
      </summary>
      <div class="account-menu">
        <p class="quiet">
          Signed in as <b>{me.user}</b>
          {farm.value && `, ${farm.value.role} of ${farm.value.name}`}
        </p>
        <a class="button" href={addressOf({ page: 'account' })} onClick={close}>
          Account and display
        </a>
        <SignOut />
      </div>
    </details>
  );
}
