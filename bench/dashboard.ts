import { readFile, rm } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CDPSession, Page } from 'playwright-core';
import { chromium } from '../test/services/chromium.ts';
import { BigFarm, SENSORS } from './dashboard-farm.ts';
import { LONG_MS, longestTasks, type Task } from './dashboard-trace.ts';
import type { Benchmark, BenchmarkOptions, Outcome } from './outcome.ts';

/** Until the page has drawn everything once. */
const WARM_UP_MS = 5_000;
const FULL_MS = 600_000;
const QUICK_MS = 12_000;
/** Memory is read this often, after a collection. */
const READINGS = 10;
/** Loam and its sensors stand on other machines than the page: here they wait for it. */
const NICE = 19;
/** Of the longest tasks. */
const SHOWN = 5;

/**
 * What a page costs that shows a farm of 1,000 sensors, each of which reports once a second: processor time of the page's process,
 * the longest tasks on its main thread (by Chromium's own trace), memory over time; and how soon it shows something.
 * Loam and its sensors run on the same cores, at a lower priority.
 */
export const dashboard: Benchmark = {
  name: 'dashboard',
  about: `a page that shows ${SENSORS} sensors, each updating once a second: CPU, longest frame, memory (10 minutes; --quick: 12 s)`,
  run,
};

async function run({ quick, say }: BenchmarkOptions): Promise<Outcome> {
  const browser = await chromium();
  say('starting Loam');
  // Whatever is started from here on inherits it.
  setPriority(NICE);
  const farm = await BigFarm.start();
  try {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: 'en-GB' });
    const page = await context.newPage();
    const system = await browser.newBrowserCDPSession();
    await signIn(page, farm);
    const first = await firstLoad(page, farm);
    const session = await context.newCDPSession(page);
    await page.locator('[data-sensor]').first().waitFor();
    await delay(WARM_UP_MS);
    say(`measuring for ${(quick ? QUICK_MS : FULL_MS) / 1000} s`);
    const { steady, heaps, tasks } = await measure(page, system, session, quick ? QUICK_MS : FULL_MS, farm);
    await context.close();
    return {
      bench: 'dashboard',
      unit: '% of one core',
      loam: steady.cpu,
      peers: {},
      ratio: {},
      detail: { 'first load': first, steady, 'heap, MB': heaps, ...tasks },
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
  const begin = await aliveIn(session);
  const alive = [begin];
  const total = { seconds: 0, cpu: 0, readings: 0 };
  const tasks: Task[] = [];
  // Memory is read between the stretches that are traced: the collection before it is a long task, and not the page's.
  for (let i = 0; i < READINGS; i++) {
    const stretch = await traced(page, system, ms / READINGS, farm);
    alive.push(await aliveIn(session));
    total.seconds += stretch.seconds;
    total.cpu += stretch.cpu;
    total.readings += stretch.readings;
    tasks.push(...stretch.tasks);
  }
  tasks.sort((a, b) => b.ms - a.ms);
  const { seconds, readings } = total;
  const heaps = alive.map(({ heapMB }) => heapMB);
  const steady = {
    cpu: (100 * total.cpu) / seconds,
    seconds: Math.round(seconds),
    'readings/s': readings / seconds,
    'longest task, ms': tasks[0]?.ms ?? 0,
    'tasks over 50 ms': tasks.filter((task) => task.ms > LONG_MS).length,
    'heap at first, MB': begin.heapMB,
    'heap at most, MB': Math.max(...heaps),
    'heap at last, MB': heaps.at(-1) ?? 0,
    'DOM nodes at first': begin.nodes,
    'DOM nodes at last': alive.at(-1)?.nodes ?? 0,
  };
  const after = (i: number) => `after ${Math.round((i * ms) / READINGS / 1000)} s`;
  const longest = tasks.slice(0, SHOWN).map((task, i) => [`task ${i + 1}`, { ...task }] as const);
  return {
    steady,
    heaps: Object.fromEntries(heaps.map((heap, i) => [after(i), heap])),
    tasks: Object.fromEntries(longest),
  };
}

async function traced(page: Page, system: CDPSession, ms: number, farm: BigFarm) {
  const path = join(farm.folder, 'trace.json');
  const browser = page.context().browser();
  // These hold the tasks and what they did, in half of what `toplevel` writes: a trace that is heavy itself makes tasks long.
  const categories = ['devtools.timeline', 'disabled-by-default-devtools.timeline', '__metadata'];
  await browser?.startTracing(page, { path, categories });
  const [cpu, sent, begin] = [await rendererSeconds(system), farm.sent, performance.now()];
  await delay(ms);
  const seconds = (performance.now() - begin) / 1000;
  const used = (await rendererSeconds(system)) - cpu;
  const readings = farm.sent - sent;
  await browser?.stopTracing();
  const tasks = longestTasks(await readFile(path, 'utf8'));
  await rm(path);
  return { seconds, cpu: used, readings, tasks };
}

/** Processor time of all pages' processes so far; there is one page. */
async function rendererSeconds(system: CDPSession): Promise<number> {
  const { processInfo } = await system.send('SystemInfo.getProcessInfo');
  return processInfo.filter(({ type }) => type === 'renderer').reduce((sum, { cpuTime }) => sum + cpuTime, 0);
}

/** What is alive, not what waits to be collected. */
async function aliveIn(session: CDPSession): Promise<{ heapMB: number; nodes: number }> {
  await session.send('HeapProfiler.collectGarbage');
  const { usedSize } = await session.send('Runtime.getHeapUsage');
  const { nodes } = await session.send('Memory.getDOMCounters');
  return { heapMB: usedSize / 1_000_000, nodes };
}
