import { expect } from 'chai';
import type { BrowserContext, Page } from 'playwright-core';
import { rolldown } from 'rolldown';
import { midnights } from '../../dashboard/format/zone.ts';
import { WEB_FOLDER } from '../../roles/gateway.ts';
import { encodeDead } from '../../telemetry/batch.ts';
import { DAY } from '../../telemetry/calendar.ts';
import { PASSWORD, Place, reading } from '../gateway/harness.ts';
import { chromium } from '../services/chromium.ts';
import { shortOrLong } from '../services/length.ts';
import { AWKWARD_ZONES, clockChangesOf } from '../services/zones.ts';
import { live } from './farm-with-page.ts';

const HOUR = 3_600_000;

describe('the dashboard, of clocks', function () {
  this.timeout(60_000);
  let place: Place;
  let port: number;
  let context: BrowserContext;

  before(async () => {
    place = await Place.open();
    await place.edit((text) =>
      text.replace(
        'metrics:',
        `${['w1', 'w2'].map((id) => `  - { id: ${id}, farm: north, field: f2, interval: 60 }\n`).join('')}metrics:`,
      ),
    );
    const now = Date.now();
    const inAMonth = now + 30 * DAY;
    await place.store.write([
      reading({ ts: now - 30_000 }),
      reading({ sensor: 's2', ts: now - 30_000, values: { moisture: 25.5 } }),
      reading({ sensor: 's2', ts: inAMonth, received: inAMonth, values: { moisture: 77.7 } }),
      reading({ sensor: 'w2', ts: inAMonth, received: inAMonth, values: { moisture: 66.6 } }),
    ]);
    const publish = { farm: 'north', field: 'f2', sensor: 'w1', topic: 't', payload: Buffer.from('{}'), received: now };
    const clock = { aheadMs: 3 * HOUR, correctedMs: 0 };
    await place.dead.append(encodeDead({ publish, reason: 'future_time', explanation: '', at: now, clock }));
    ({ port } = await place.gateway({ webFolder: WEB_FOLDER }));
  });

  after(async () => {
    await context?.close();
    await place?.close();
  });

  /** A page of the northern farm in a browser of its own, whose clock is wrong by `wrong` ms; `set` sets it anew. */
  const browse = async (path: string, wrong = 0) => {
    await context?.close();
    context = await (await chromium()).newContext({ locale: 'en-GB' });
    await context.addInitScript(`{
      const Real = Date;
      let wrong = ${wrong};
      window.setClock = (by) => { wrong = by; };
      window.Date = class extends Real {
        constructor(...given) { if (given.length > 0) super(...given); else super(Real.now() + wrong); }
        static now() { return Real.now() + wrong; }
      };
    }`);
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${port}/farms/north${path}`);
    await page.getByLabel('User').fill('vera');
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await live(page);
    return { page, set: (by: number) => page.evaluate(`setClock(${by})`) };
  };
  const shows = (page: Page, sensor: string, value: number) =>
    page
      .locator(`[data-sensor="${sensor}"]`, { hasText: String(value) })
      .first()
      .waitFor();

  it('a viewer’s that is wrong, or set while the page is open, makes no age wrong and no sensor late', async () => {
    await place.announce([reading({ values: { moisture: 31.1 } })]);
    const { page, set } = await browse('/sensors/s1', 3 * HOUR);
    const ages = () => page.locator('.now time').allTextContents();
    let value = 32;
    for (const wrong of [undefined, -5 * HOUR, 40 * DAY, 0]) {
      if (wrong !== undefined) await set(wrong);
      value += 1;
      await place.announce([reading({ values: { moisture: value } })]);
      await shows(page, 's1', value);
      expect((await ages()).join(), `wrong by ${wrong}`).to.match(/^(now|\d+ ?s(ec)?\.? ago)$/);
      expect(await page.locator('.state').textContent()).to.equal('Online');
      expect(await page.locator('.old').count()).to.equal(0);
      await live(page);
    }
  });

  it('this machine’s that was a month ahead once leaves no value that stays the newest', async () => {
    const { page } = await browse('/fields/f2');
    await shows(page, 's2', 25.5);
    const inAMonth = Date.now() + 30 * DAY;
    await place.announce([reading({ sensor: 's2', ts: inAMonth, received: inAMonth, values: { moisture: 88.8 } })]);
    await place.announce([reading({ sensor: 's2', values: { moisture: 26.5 } })]);
    await shows(page, 's2', 26.5);
    expect(await page.locator('main').textContent()).not.to.match(/77\.7|88\.8|66\.6/);
    // It was heard, and not lately.
    await page.locator('[data-sensor-card="w2"]', { hasText: 'Offline' }).waitFor();
    await page.reload();
    await shows(page, 's2', 26.5);
  });

  it('of a sensor that is ahead is told wherever the sensor is, and never that it did not report', async () => {
    const words = 'clock is 3 h 00 min ahead: its readings are set aside';
    for (const path of ['', '/fields/f2', '/sensors/w1']) {
      const { page } = await browse(path);
      await page.getByText(words).first().waitFor();
      await page.getByText('Wrong clock').first().waitFor();
      expect(await page.locator('main').textContent(), path).not.to.match(/never reported|no sensor has reported/i);
    }
  });

  it('days begin in Chromium when they begin for the server', async () => {
    const { page } = await browse('');
    await page.evaluate(await inOneFile(new URL('../../dashboard/format/zone.ts', import.meta.url)));
    for (const zone of shortOrLong(AWKWARD_ZONES.slice(0, 8), AWKWARD_ZONES)) {
      const spans = clockChangesOf(zone).map((change) => [change - 2 * DAY, change + 2 * DAY] as const);
      const found = await page.evaluate(
        `${JSON.stringify(spans)}.map(([from, to]) => zone.midnights(from, to, '${zone}'))`,
      );
      expect(found, zone).to.deep.equal(spans.map(([from, to]) => midnights(from, to, zone)));
    }
  });
});

/** A module of the dashboard and all that it imports, as a script that makes it the global `zone`. */
async function inOneFile(module: URL): Promise<string> {
  const bundle = await rolldown({ input: module.pathname });
  const { output } = await bundle.generate({ format: 'iife', name: 'zone' });
  await bundle.close();
  // Of a script that is evaluated a variable would be gone afterwards.
  return output[0].code.replace('var zone =', 'globalThis.zone =');
}
