import type { Tone } from '../../format/words.ts';

export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
      <rect class="logo-ground" width="32" height="32" rx="8" />
      <path
        class="logo-leaf"
        d="M16 17c0-6 3.5-10 9-10.5 0 6-3.5 9.5-9 10.5zM16 19c0-4.5-2.8-7.5-8-8 0 4.8 3 7.5 8 8z"
      />
      <path class="logo-stem" d="M16 15v8" />
      <path class="logo-soil" d="M6 24h20" />
    </svg>
  );
}

const TONES: Record<Tone, string> = {
  // A drop with a line through it; a drop; a sun; a snow crystal; arrows to a line; a cross; a clock; a dashed ring; a tick.
  dry: 'M8 1.800c2.600 3.300 4 5.300 4 7.400a4 4 0 0 1-8 0c0-2.100 1.400-4.100 4-7.400zM2.500 2.500l11 11',
  wet: 'M8 1.500c2.800 3.500 4.300 5.700 4.300 8a4.300 4.300 0 0 1-8.600 0c0-2.300 1.500-4.500 4.300-8z',
  hot: 'M8 5.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5zM8 1.200v1.600M8 13.200v1.600M1.200 8h1.600M13.200 8h1.600M3.200 3.200l1.100 1.100M11.700 11.700l1.100 1.100M12.800 3.200l-1.100 1.100M4.300 11.700l-1.100 1.100',
  cold: 'M8 1.500v13M2.400 4.700l11.200 6.600M13.600 4.700L2.400 11.300M6 2.600L8 4.400l2-1.800M6 13.400l2-1.800 2 1.800',
  low: 'M8 2v8M4.500 7L8 10.500 11.500 7M3 14h10',
  high: 'M8 14V6M4.500 9L8 5.500 11.500 9M3 2h10',
  offline: 'M3.500 3.500l9 9M12.500 3.500l-9 9',
  late: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.800V8l2.200 1.600',
  none: 'M8 2.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11z',
  fine: 'M3 8.500l3.300 3.300L13 4.800',
};

/** Each tone has its own shape, so that its meaning does not depend on colour. */
export function ToneIcon({ tone }: { tone: Tone }) {
  return (
    <svg class={`icon tone-icon tone-icon-${tone}`} viewBox="0 0 16 16" aria-hidden="true">
      <path d={TONES[tone]} />
    </svg>
  );
}

const GLYPHS = {
  farm: 'M3 20l5-9 4 6 3-5 6 8zM17 5.500a2 2 0 1 0 0 .1',
  playback: 'M4 12a8 8 0 1 0 2.500-5.800M4 4v4h4M10.500 8.800v6.400l5-3.200z',
  sensors: 'M12 13v8M8 21h8M12 13a2 2 0 1 0-.1 0M7.800 15.200a6 6 0 1 1 8.400 0M5 18a10 10 0 1 1 14 0',
  letters: 'M3 6h18v12H3zM3 7l9 7 9-7',
  system: 'M4 5h16v6H4zM4 13h16v6H4zM7.500 8h.1M7.500 16h.1M11 8h6M11 16h6',
  account: 'M12 12a4 4 0 1 0-.1 0M4.500 20.500c.8-4 3.800-6 7.500-6s6.700 2 7.500 6',
  back: 'M15 5l-7 7 7 7',
  forward: 'M9 5l7 7-7 7',
  closer: 'M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500L21 21M10.500 7.500v6M7.500 10.500h6',
  farther: 'M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500L21 21M7.500 10.500h6',
  download: 'M12 4v11M7 11l5 5 5-5M4 20h16',
  play: 'M7 4.500v15l12-7.500z',
  pause: 'M8 5v14M16 5v14',
  rising: 'M4 17L17 5M9 5h8v8',
  steady: 'M3 12h17M14 6l6 6-6 6',
  falling: 'M4 7l13 12M9 19h8v-8',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  plus: 'M12 5v14M5 12h14',
} as const;

export type GlyphName = keyof typeof GLYPHS;

export function Glyph({ name }: { name: GlyphName }) {
  return (
    <svg class={`glyph glyph-${name}`} viewBox="0 0 24 24" aria-hidden="true">
      <path d={GLYPHS[name]} />
    </svg>
  );
}
