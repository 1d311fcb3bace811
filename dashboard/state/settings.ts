import { computed, effect, signal } from '@preact/signals';
import { inUnits, type ShownMetric, systemOf, type UnitSystem } from '../format/units.ts';
import { dark as deviceDark, locale } from './device.ts';
import { known, metricOf } from './farms.ts';

export const UNIT_CHOICES = ['auto', 'metric', 'imperial'] as const;
export const THEME_CHOICES = ['auto', 'light', 'dark'] as const;
export type UnitChoice = (typeof UNIT_CHOICES)[number];
export type ThemeChoice = (typeof THEME_CHOICES)[number];

const UNITS_KEY = 'loam.units';
const THEME_KEY = 'loam.theme';

/** What this browser's reader chose; `auto` goes by the device. */
export const units = signal<UnitChoice>(kept(UNITS_KEY, UNIT_CHOICES));
export const theme = signal<ThemeChoice>(kept(THEME_KEY, THEME_CHOICES));

export const unitSystem = computed<UnitSystem>(() => (units.value === 'auto' ? systemOf(locale) : units.value));
export const dark = computed(() => (theme.value === 'auto' ? deviceDark.value : theme.value === 'dark'));

const shown = computed(() => {
  const system = unitSystem.value;
  return new Map([...(known.value?.metrics ?? [])].map(([id, metric]) => [id, inUnits(metric, system)]));
});

/** How values of a metric are shown to this reader. */
export function shownOf(id: string): ShownMetric {
  return shown.value.get(id) ?? inUnits(metricOf(id), unitSystem.value);
}

/** Applies the theme, keeps the choices, and takes over what is chosen in another tab. */
export function startSettings(): void {
  effect(() => {
    document.documentElement.dataset.theme = dark.value ? 'dark' : 'light';
    const color = dark.value ? '#1a2016' : '#ffffff';
    for (const meta of document.querySelectorAll('meta[name="theme-color"]')) meta.setAttribute('content', color);
  });
  effect(() => keep(UNITS_KEY, units.value));
  effect(() => keep(THEME_KEY, theme.value));
  window.addEventListener('storage', (event) => {
    if (event.key === UNITS_KEY) units.value = kept(UNITS_KEY, UNIT_CHOICES);
    if (event.key === THEME_KEY) theme.value = kept(THEME_KEY, THEME_CHOICES);
  });
}

/** A browser may forbid storage: then a choice lasts until the page is closed. */
function kept<Choice extends string>(key: string, choices: readonly [Choice, ...Choice[]]): Choice {
  try {
    return choices.find((choice) => choice === localStorage.getItem(key)) ?? choices[0];
  } catch {
    return choices[0];
  }
}

function keep(key: string, choice: string): void {
  try {
    localStorage.setItem(key, choice);
  } catch {
    // See `kept`.
  }
}
