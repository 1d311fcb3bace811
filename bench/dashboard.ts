import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CDPSession, Page } from 'playwright-core';
import { chromium } from '../test/services/chromium.ts';
import { BigFarm, SENSORS } from './dashboard-farm.ts';
import { longestTasks } from './dashboard-trace.ts';
import type { Benchmark, BenchmarkOptions, Outcome } from './outcome.ts';

/** Until the page has drawn everything once. */
const WARM_UP_MS = 5_000;
const FULL_MS = 600_000;
const QUICK_MS = 12_000;
/** Memory is read this often, after a collection. */
const READINGS = 10;

/**
 * What a page costs that shows a farm of 1,000 sensors, each of which reports once a second: processor time of the page's process,
 * the longest task on its main thread (by Chromium's own trace), memory over time; and how soon it shows something.
 */
export const dashboard: Benchmark = {
  name: 'dashboard',
  about: `a page that shows ${SENSORS} sensors, each updating once a second: CPU, longest frame, memory (10 minutes; --quick: 12 s)`,
  run,
};

async function run({ quick, say }: BenchmarkOptions): Promise<Outcome> {
  say('starting Loam');
  const farm = await BigFarm.start();
  try {
    const browser = await chromium();
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: 'en-GB' });
    const page = await context.newPage();
    const system = await browser.newBrowserCDPSession();
    await signIn(page, farm);
    const first = await firstLoad(page, farm);
    const session = await context.newCDPSession(page);
    await page.locator('[data-sensor]').first().waitFor();
    await delay(WARM_UP_MS);
    say(`measuring for ${(quick ? QUICK_MS : FULL_MS) / 1000} s`);
    const { steady, heaps } = await measure(page, system, session, quick ? QUICK_MS : FULL_MS, farm);
    await context.close();
    return {
      bench: 'dashboard',
      unit: '% of one core',
      loam: steady.cpu,
      peers: {},
      ratio: {},
      detail: { 'first load': first, steady, 'heap, MB': heaps },
    };
  } finally {
    await farm.stop();
  }
}

async function signIn(page: Page, farm: BigFarm): Promise<void> {
  await page.goto(farm.url);
  await page.getByLabel('User').fill(farm.user);
  await page.getByLabel('Password').fill(farm.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('.connection-live').waitFor();
}

/** A cold load of the farm's page by who is signed in. */
async function firstLoad(page: Page, farm: BigFarm) {
  const cache = await page.context().newCDPSession(page);
  await cache.send('Network.enable');
  await cache.send('Network.setCacheDisabled', { cacheDisabled: true });
  const begin = performance.now();
  await page.goto(`${farm.url}/farms/big`);
  await page.locator('[data-sensor][data-metric]').first().waitFor();
  const firstValue = performance.now() - begin;
  const paint = await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0");
  const bytes = await page.evaluate(
    "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].filter((e) => !e.name.includes('/api/')).reduce((sum, e) => sum + e.encodedBodySize, 0)",
  );
  await cache.detach();
  return {
    'first contentful paint, ms': Math.round(Number(paint)),
    'first live value, ms': Math.round(firstValue),
    'first load, kB compressed': Number(bytes) / 1000,
  };
}

async function measure(page: Page, system: CDPSession, session: CDPSession, ms: number, farm: BigFarm) {
  const heaps = [await heapMB(session)];
  const total = { seconds: 0, cpu: 0, readings: 0, longestMs: 0, over50: 0 };
  // Memory is read between the stretches that are traced: the collection before it is a long task, and not the page's.
  for (let i = 0; i < READINGS; i++) {
    const stretch = await traced(page, system, ms / READINGS, farm);
    heaps.push(await heapMB(session));
    total.seconds += stretch.seconds;
    total.cpu += stretch.cpu;
    total.readings += stretch.readings;
    total.longestMs = Math.max(total.longestMs, stretch.longestMs);
    total.over50 += stretch.over50;
  }
  const { seconds, readings, longestMs, over50 } = total;
  const steady = {
    cpu: (100 * total.cpu) / seconds,
    seconds: Math.round(seconds),
    'readings/s': readings / seconds,
    'longest task, ms': longestMs,
    'tasks over 50 ms': over50,
    'heap at first, MB': heaps[0] ?? 0,
    'heap at most, MB': Math.max(...heaps),
    'heap at last, MB': heaps.at(-1) ?? 0,
  };
  const after = (i: number) => `after ${Math.round((i * ms) / READINGS / 1000)} s`;
  return { steady, heaps: Object.fromEntries(heaps.map((heap, i) => [after(i), heap])) };
}

async function traced(page: Page, system: CDPSession, ms: number, farm: BigFarm) {
  const path = join(farm.folder, 'trace.json');
  const browser = page.context().browser();
  const categories = ['toplevel', 'disabled-by-default-lighthouse', '__metadata'];
  await browser?.startTracing(page, { path, categories });
  const [cpu, sent, begin] = [await rendererSeconds(system), farm.sent, performance.now()];
  await delay(ms);
  const seconds = (performance.now() - begin) / 1000;
  const used = (await rendererSeconds(system)) - cpu;
  const readings = farm.sent - sent;
  await browser?.stopTracing();
  const tasks = longestTasks(await readFile(path, 'utf8'));
  await rm(path);
  return { seconds, cpu: used, readings, ...tasks };
}

/** Processor time of all pages' processes so far; there is one page. */
async function rendererSeconds(system: CDPSession): Promise<number> {
  const { processInfo } = await system.send('SystemInfo.getProcessInfo');
  return processInfo.filter(({ type }) => type === 'renderer').reduce((sum, { cpuTime }) => sum + cpuTime, 0);
}

/** What is alive, not what waits to be collected. */
async function heapMB(session: CDPSession): Promise<number> {
  await session.send('HeapProfiler.collectGarbage');
  const { usedSize } = await session.send('Runtime.getHeapUsage');
  return usedSize / 1_000_000;
}
