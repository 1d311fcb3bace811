import { expect } from 'chai';
import type { BrowserContext, Locator, Page } from 'playwright-core';
import { z } from 'zod';
import { WEB_FOLDER } from '../../roles/gateway.ts';
import { PASSWORD, Place, reading } from '../gateway/harness.ts';
import { chromium } from '../services/chromium.ts';
import { shortOrLong } from '../services/length.ts';
import { until } from '../services/wait.ts';
import { live } from './farm-with-page.ts';

const MINUTE = 60_000;
/** Sensors of a large farm, and its fields. */
const COUNT = 1_067;
const SCREENS: readonly (readonly [width: number, height: number])[] = shortOrLong<
  readonly (readonly [number, number])[]
>(
  [
    [1920, 1080],
    [390, 844],
  ],
  [
    [1920, 1080],
    [1440, 900],
    [1024, 768],
    [390, 844],
    [360, 740],
  ],
);
const FIELDS = ['River meadow', 'Hill', 'Valley', 'Old orchard by the mill'];

describe('the dashboard, of shapes', function () {
  this.timeout(120_000);
  let place: Place;
  let port: number;
  let context: BrowserContext;

  before(async () => {
    place = await Place.open();
    // One corner of a field was never set.
    const torn = 'polygon: [[52.1, 11.2], [52.1, 11.204], [0, 0], [52.103, 11.2]]';
    const fields = FIELDS.map(
      (name, i) => `  - { id: k${i}, farm: south, name: ${name}, crop: winter wheat, ${outline(i)} }`,
    );
    const sensors = Array.from({ length: COUNT }, (_, i) => {
      // One was mounted with latitude and longitude swapped.
      const at = i === 5 ? '[11.2, 52.1]' : `[${52.1 + (i % 30) * 1e-4}, ${11.2 + Math.floor(i / 30) * 1e-4}]`;
      return `  - { id: b${i}, farm: south, field: k${i % 4}, name: Bed ${i}, interval: 600, position: ${at} }`;
    });
    await place.edit((text) =>
      text
        .replace('sensors:', `${fields.join('\n')}\n  - { id: torn, farm: south, name: Torn, ${torn} }\nsensors:`)
        .replace('metrics:', `${sensors.join('\n')}\nmetrics:`)
        .replace('farms: { south: viewer }', "farms: { '*': viewer }")
        .replaceAll('moisture', 'soil_moisture'),
    );
    const now = Date.now();
    for (const ago of [40, 30, 20, 10, 1]) {
      const of = (i: number) => ({ farm: 'south', sensor: `b${i}`, ts: now - ago * MINUTE });
      // Every ninth is too dry, and no field like another.
      const values = (i: number) => ({ soil_moisture: i % 9 === 4 ? 12.3 : 30 + (i % 4) * 3 });
      await place.store.write(Array.from({ length: COUNT }, (_, i) => reading({ ...of(i), values: values(i) })));
    }
    ({ port } = await place.gateway({ webFolder: WEB_FOLDER }));
  });

  after(async () => {
    await context?.close();
    await place?.close();
  });

  const browse = async (path: string, width: number, height: number, asked: string[] = []): Promise<Page> => {
    await context?.close();
    context = await (await chromium()).newContext({ locale: 'en-GB', viewport: { width, height } });
    const page = await context.newPage();
    page.on('request', (request) => asked.push(request.url()));
    await page.goto(`http://127.0.0.1:${port}/farms/south${path}`);
    await page.getByLabel('User').fill('sam');
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await live(page);
    return page;
  };
  const boxOf = async (of: Locator) => {
    const box = await of.boundingBox();
    if (box === null) throw new Error('it is not shown');
    return { ...box, middle: box.y + box.height / 2 };
  };

  it('a name, its state and its value keep to one line on cards, on a desk and on a phone', async () => {
    for (const [width, height] of SCREENS) {
      const page = await browse('', width, height);
      const card = page.locator('[data-field="k0"]');
      const row = card.locator('.sensor-row', { hasText: 'Too dry' }).first();
      await row.waitFor();
      // All at one moment: the page moves while it fills.
      const { head, parts, room } = lines.parse(await page.evaluate(LINES));
      expect(spreadOf(head), `${width}`).to.be.below(6);
      expect(spreadOf(parts), `${width}`).to.be.below(6);
      expect(room, `${width}`).to.be.at.least(0);
      expect(await page.evaluate('document.documentElement.scrollWidth')).to.be.at.most(width);
    }
  });

  it('a phone held across shows a chart without scrolling', async () => {
    for (const path of ['/sensors/b4', '/fields/k0']) {
      const page = await browse(path, 844, 390);
      await page.locator('.chart-words', { hasText: 'Lowest' }).first().waitFor();
      const { y, height } = await boxOf(page.locator('.chart-plot').first());
      // At least half of it, and all of it within a screen's height.
      expect(y + height / 2, path).to.be.below(390);
      expect(height, path).to.be.below(390);
    }
  });

  it('a sensor whose position cannot be right is told, and the plan keeps its scale', async () => {
    const page = await browse('', 1440, 900);
    await page.locator('.plan-off', { hasText: 'Bed 5 is not on the plan: its position is' }).waitFor();
    expect(await page.locator('.plan-off').textContent()).to.match(/is [\d,]+ (km|mi) from the others/);
    await page
      .locator('.plan-off', { hasText: /Torn is not on the plan: a corner is [\d,]+ \w+ from the rest/ })
      .waitFor();
    const dots = await page.locator('.plan-dot').count();
    expect(dots).to.equal(COUNT - 1);
    const { width } = await boxOf(page.locator('.plan-field').first());
    expect(width).to.be.above(100);
    await page.locator('.plan-off a').first().click();
    await page.locator('.fact-warn', { hasText: 'Its position is' }).waitFor();
  });

  it('a large farm plays back at once, and its chart has values', async () => {
    const asked: string[] = [];
    const page = await browse('/playback', 1440, 900, asked);
    const slider = page.getByRole('slider', { name: 'Time of day' });
    await slider.waitFor();
    await page.locator('.day-chart .legend').getByText('River meadow').waitFor();
    await until('the chart has a line', () => page.evaluate(DRAWN));
    // Neither waits for the sensors: these come while it is played.
    expect(asked.filter((url) => /\/history\?.*sensor=/.test(url)).length).to.be.below(COUNT / 2);
    await slider.press('End');
    await page.locator('.plan-field:not(.plan-none)').first().waitFor();
    await page.getByRole('button', { name: 'Play', exact: true }).click();
  });
});

/** Whether the chart has a line in the colour of its first field. */
const DRAWN = `(() => {
  const canvas = document.querySelector('.day-chart canvas');
  if (canvas === null || canvas.width === 0) return false;
  const hex = getComputedStyle(canvas).getPropertyValue('--series-1').trim();
  const wanted = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  for (let i = 0; i < data.length; i += 4) if (wanted.every((part, k) => Math.abs(data[i + k] - part) < 8)) found++;
  return found > 20;
})()`;

const lines = z.object({ head: z.array(z.number()), parts: z.array(z.number()), room: z.number() });
const spreadOf = (places: readonly number[]) => Math.max(...places) - Math.min(...places);

/** The middles of a card's name and mark, of the parts of its first row that is too dry, and the room behind the name. */
const LINES = `(() => {
  const card = document.querySelector('[data-field="k0"]');
  const row = [...card.querySelectorAll('.sensor-row')].find((one) => one.textContent.includes('Too dry'));
  const boxOf = (of) => of.getBoundingClientRect();
  const middle = (of) => boxOf(of).top + boxOf(of).height / 2;
  const part = (name) => row.querySelector(name);
  return {
    head: [card.querySelector('h3'), card.querySelector('.field-card-head .mark')].map(middle),
    parts: ['.sensor-name', '.mark', '.value', '.age'].map((name) => middle(part(name))),
    room: boxOf(part('.reading')).left - boxOf(part('.sensor-name')).right,
  };
})()`;

function outline(i: number): string {
  const [latitude, longitude] = [52.1 + i * 7e-4, 11.2];
  const corners = [
    [latitude, longitude],
    [latitude, longitude + 3.6e-3],
    [latitude + 6e-4, longitude + 3.6e-3],
    [latitude + 6e-4, longitude],
  ];
  return `polygon: [${corners.map((corner) => `[${corner.map((n) => n.toFixed(5)).join(', ')}]`).join(', ')}]`;
}
