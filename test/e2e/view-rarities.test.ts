import { expect } from 'chai';
import type { BrowserContext, Page } from 'playwright-core';
import { WEB_FOLDER } from '../../roles/gateway.ts';
import { encodeDead } from '../../telemetry/batch.ts';
import { PASSWORD, Place, reading } from '../gateway/harness.ts';
import { chromium } from '../services/chromium.ts';
import { type Proxy as Network, startProxy } from '../services/proxy.ts';
import { live } from './farm-with-page.ts';

const NOBODYS = { farm: '', field: '', sensor: '', topic: '', payload: Buffer.of(0xff), received: Date.now() };
const METRICS = Array.from({ length: 64 }, (_, i) => `metric_${i}_with_a_long_name_that_fills_the_buffers_sooner`);

describe('the dashboard, of what seldom happens', function () {
  this.timeout(60_000);
  let place: Place;
  let line: Network;
  let context: BrowserContext;

  before(async () => {
    place = await Place.open();
    await place.edit((text) => text.replace('farms: { north: viewer }', 'farms: { north: admin }'));
    const letter = { publish: NOBODYS, reason: 'unreadable_batch', explanation: 'of another version', at: Date.now() };
    await place.dead.append(encodeDead(letter));
    const { port } = await place.gateway({ webFolder: WEB_FOLDER });
    line = await startProxy(port);
  });

  after(async () => {
    await context?.close();
    await line?.close();
    await place?.close();
  });

  /** A fresh browser's page at the dead letters of the northern farm. */
  const browse = async (user: string): Promise<Page> => {
    await context?.close();
    context = await (await chromium()).newContext({ locale: 'en-GB' });
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${line.port}/farms/north/dead-letters`);
    await page.getByLabel('User').fill(user);
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: /^Open \d/ }).waitFor();
    await live(page);
    return page;
  };

  it('the first value comes with few requests: what a page waits for one after the other is what a far viewer feels', async () => {
    await place.announce([reading({ values: { moisture: 31.2 } })]);
    const page = await browse('vera');
    const asked: string[] = [];
    page.on('request', (request) => asked.push(new URL(request.url()).pathname));
    await page.goto(`http://127.0.0.1:${line.port}/farms/north`);
    await page.locator('[data-sensor="s1"]', { hasText: '31.2' }).waitFor();
    const before = asked.filter((path) => !path.endsWith('/history') && !path.endsWith('.svg'));
    expect(before.length, before.join(' ')).to.be.at.most(10);
  });

  it('a chart opened afterwards marks what arrived late, and says when it did', async () => {
    const hour = 3_600_000;
    const now = Date.now();
    const sent = (ago: number, received: number) => reading({ sensor: 's2', ts: now - ago, received });
    await place.store.write([sent(3 * hour, now - hour), sent(2 * hour, now - 2 * hour)]);
    await place.announce([sent(0, now)]);
    const page = await browse('vera');
    await page.goto(`http://127.0.0.1:${line.port}/farms/north/sensors/s2?range=24h`);
    await page.locator('.chart-words', { hasText: 'arrived late' }).waitFor();
    const slider = page.getByRole('slider', { name: /^moisture/i });
    // A mouse over the chart has the crosshair too.
    await page.mouse.move(0, 0);
    await slider.focus();
    await page.keyboard.press('End');
    expect(await page.locator('.readout').textContent()).not.to.contain('arrived');
    await page.keyboard.press('Home');
    await page.locator('.readout', { hasText: /arrived \d/ }).waitFor();
  });

  it('letters that are nobody’s are offered to an admin of every farm, and to no other', async () => {
    const other = await browse('vera');
    expect(await other.getByRole('button', { name: 'Of no farm' }).count()).to.equal(0);
    const page = await browse('ada');
    await page.getByRole('button', { name: 'Of no farm' }).click();
    const letter = page.locator('[data-letter]');
    await letter.getByText('of another version').waitFor();
    await letter.getByRole('button', { name: 'Replay' }).click();
    await page.getByRole('button', { name: 'Replayed 1' }).waitFor();
  });

  it('a line that is too slow for everything says that it is slowed down', async () => {
    const [page] = context.pages();
    if (page === undefined) throw new Error('there is no page');
    line.freeze();
    const values = Object.fromEntries(METRICS.map((metric) => [metric, 31.2]));
    let rounds = 0;
    while ((await place.counted('loam_live_slow_total', 'slowed')) === 0 && rounds++ < 100) {
      const ts = Date.now();
      await place.announce(Array.from({ length: 200 }, (_, i) => reading({ sensor: `sensor-${i}`, ts, values })));
    }
    line.thaw();
    await page.getByText('Live, slowed down').waitFor();
  });
});
