import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { chromium } from '../services/chromium.ts';
import { showcase } from './showcase.ts';

const FOLDER = fileURLToPath(new URL('../../docs/screenshots', import.meta.url));

const SIZES = {
  desk: { width: 1440, height: 900 },
  phone: { width: 390, height: 844 },
} as const;
/** The day of which the farm's past day holds most. */
const DAY = new Date(Date.now() - 43_200_000).toISOString().slice(0, 10);
const THEMES = ['light', 'dark'] as const;

interface View {
  readonly name: string;
  readonly path: string;
  /** Resolves when there is everything to see. */
  readonly ready: (page: Page) => Promise<unknown>;
}

const drawn = (page: Page) => page.locator('.chart-words', { hasText: 'Lowest' }).first().waitFor();

const VIEWS: readonly View[] = [
  {
    name: 'farm',
    path: '/farms/demo',
    ready: async (page) => {
      await page.locator('.plan-field.plan-dry').waitFor();
      await page.locator('.field-card').first().waitFor();
    },
  },
  { name: 'field', path: '/farms/demo/fields/tunnel', ready: drawn },
  { name: 'sensor', path: '/farms/demo/sensors/tunnel-1', ready: drawn },
  {
    name: 'playback',
    path: `/farms/demo/playback?day=${DAY}`,
    ready: async (page) => {
      await page.getByRole('slider', { name: 'Time of day' }).waitFor();
      await page.getByRole('slider', { name: 'Time of day' }).press('End');
      await page.locator('.plan-field.plan-dry').waitFor();
    },
  },
  {
    name: 'sensors',
    path: '/farms/demo/sensors',
    ready: (page) => page.locator('[data-sensor-line]').first().waitFor(),
  },
  {
    name: 'dead-letters',
    path: '/farms/demo/dead-letters',
    ready: (page) => page.getByRole('heading', { level: 1 }).waitFor(),
  },
  { name: 'system', path: '/system', ready: (page) => page.locator('[data-part]').first().waitFor() },
  {
    name: 'account',
    path: '/account',
    ready: (page) => page.getByRole('heading', { name: 'On this device' }).waitFor(),
  },
];

/** Takes a picture of each view at each size in each theme, of a farm that has something to show. `only` names views. */
async function takeAll(only: readonly string[]): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  const loam = await showcase();
  const browser = await chromium();
  try {
    for (const size of Object.keys(SIZES) as (keyof typeof SIZES)[]) {
      for (const theme of THEMES) await takeWith(browser, loam.url, loam.password, size, theme, only);
    }
  } finally {
    await browser.close();
    await loam.stop();
  }
}

async function takeWith(
  browser: Browser,
  url: string,
  password: string,
  size: keyof typeof SIZES,
  theme: (typeof THEMES)[number],
  only: readonly string[],
): Promise<void> {
  const context = await browser.newContext({
    viewport: SIZES[size],
    colorScheme: theme,
    locale: 'en-GB',
    timezoneId: 'Europe/Berlin',
    reducedMotion: 'reduce',
    deviceScaleFactor: 1,
    hasTouch: size === 'phone',
  });
  const page = await context.newPage();
  page.setDefaultTimeout(150_000);
  const keep = (name: string) => page.screenshot({ path: join(FOLDER, `${name}-${size}-${theme}.png`) });
  await page.goto(url);
  await page.getByLabel('User').waitFor();
  if (only.length === 0 || only.includes('sign-in')) await keep('sign-in');
  await page.getByLabel('User').fill('admin');
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('Live', { exact: true }).first().waitFor();
  for (const { name, path, ready } of VIEWS) {
    if (only.length > 0 && !only.includes(name)) continue;
    await page.goto(new URL(path, url).href);
    await page.locator('.connection-live').waitFor();
    await ready(page);
    await page.waitForLoadState('networkidle');
    // Lines and sparklines come one after the other; a picture may wait for a time, a test may not.
    await delay(2_500);
    await keep(name);
    process.stdout.write(`${name}-${size}-${theme}\n`);
  }
  await context.close();
}

await takeAll(process.argv.slice(2));
