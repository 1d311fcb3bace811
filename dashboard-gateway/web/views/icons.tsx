import type { SensorState } from '../../client/messages.ts';

export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
      <rect class="logo-ground" width="32" height="32" rx="7" />
      <path
        class="logo-leaf"
        d="M16 17c0-6 3.5-10 9-10.5 0 6-3.5 9.5-9 10.5zM16 19c0-4.5-2.8-7.5-8-8 0 4.8 3 7.5 8 8z"
      />
      <path class="logo-stem" d="M16 15v8" />
      <path class="logo-soil" d="M5 24h22" />
    </svg>
  );
}

/** Each state has a shape of its own, so that it does not rest on colour. */
export function StateIcon({ state }: { state: SensorState }) {
  return (
    <svg class="state-icon" viewBox="0 0 16 16" aria-hidden="true">
      {state === 'online' && <circle class="solid" cx="8" cy="8" r="5" />}
      {state === 'late' && <path class="stroke" d="M8 2.500a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM8 5v3l2 1.5" />}
      {state === 'offline' && <path class="stroke thick" d="M3.5 3.500l9 9M12.5 3.500l-9 9" />}
      {state === 'never' && <circle class="stroke dashed" cx="8" cy="8" r="5.5" />}
    </svg>
  );
}

export function LevelIcon({ level }: { level: 'low' | 'high' }) {
  return (
    <svg class="level-icon" viewBox="0 0 12 12" aria-hidden="true">
      <path class="solid" d={level === 'low' ? 'M6 11 1 4h10z' : 'M6 1l5 7H1z'} />
    </svg>
  );
}
