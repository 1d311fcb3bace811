import type { Page } from 'playwright-core';
import { chromium } from '../services/chromium.ts';
import { until } from '../services/wait.ts';

/** A fresh browser profile's page at `address`; whatever the page complains of is collected in `complaints`. */
export async function openPage(address: string): Promise<{ page: Page; complaints: string[]; close(): Promise<void> }> {
  const browser = await chromium();
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: 'en-GB' });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  await page.goto(address);
  return { page, complaints, close: () => context.close() };
}

/** The text that the page shows for a metric of a sensor now; empty when it shows none. */
export async function shown(page: Page, sensor: string, metric: string): Promise<string> {
  const texts = await page.locator(`[data-sensor="${sensor}"][data-metric="${metric}"]`).allTextContents();
  return texts.join(' ');
}

/** Resolves when the page shows a value that holds `text`; rejects with what it shows instead. */
export async function shows(page: Page, sensor: string, metric: string, text: string): Promise<void> {
  try {
    await until(
      `the page shows ${text} for ${metric} of ${sensor}`,
      async () => (await shown(page, sensor, metric)).includes(text),
      { timeoutMs: 60_000 },
    );
  } catch (cause) {
    throw new Error(`the page shows: ${await page.locator('body').textContent()}`, { cause });
  }
}
