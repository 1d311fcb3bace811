import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { Page } from 'playwright-core';
import { until } from '../services/wait.ts';
import { FarmWithPage, live } from './farm-with-page.ts';

const AXE = fileURLToPath(new URL('../../node_modules/axe-core/axe.min.js', import.meta.url));

const VIEWS: readonly (readonly [path: string, there: string])[] = [
  ['/farms/north', '.field-cards'],
  ['/farms/north/fields/f1', '.chart-words'],
  ['/farms/north/sensors/s1', '.chart-words'],
  ['/farms/north/playback', '.player'],
  ['/farms/north/sensors', '[data-sensor-line]'],
  ['/farms/north/dead-letters', 'h1'],
  ['/farms/north/events', '.event'],
  ['/system', '[data-part]'],
  ['/account', 'input[name=password]'],
];

interface Violation {
  readonly id: string;
  readonly impact: string | null;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

describe('the dashboard is for everybody', function () {
  this.timeout(300_000);
  let farm: FarmWithPage;
  let axe: string;

  before(async () => {
    axe = await readFile(AXE, 'utf8');
    farm = await FarmWithPage.start();
    const [s1, s2] = [await farm.sensor('s1'), await farm.sensor('s2')];
    for (let i = 20; i > 0; i--) await s1.send({ soil_moisture: 30 + i / 10 }, Date.now() - i * 60_000);
    await s1.send({ soil_moisture: 12 });
    await s2.send({ soil_moisture: 50 });
    await s1.raw('{');
    await farm.knock('north/s2');
  });

  after(async () => {
    await farm?.stop();
  });

  /** What axe finds that keeps somebody from using the page. */
  const serious = async (page: Page) => {
    // The page's own policy lets no script in; this one is put there from outside.
    await page.evaluate(axe);
    const violations: Violation[] = await page.evaluate('axe.run().then((found) => found.violations)');
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`));
  };

  for (const { width, dark } of [
    { width: 1440, dark: false },
    { width: 360, dark: true },
  ]) {
    it(`on every view, ${dark ? 'dark' : 'light'} and ${width} pixels wide: axe finds nothing serious, and nothing is wider than the screen`, async () => {
      const { page, context } = await farm.browse('ada', VIEWS[0]?.[0] ?? '/', { width, dark });
      await live(page);
      for (const [path, there] of VIEWS) {
        await page.goto(farm.url + path);
        await page.locator(there).first().waitFor();
        await live(page);
        expect(await serious(page), path).to.deep.equal([]);
        await page.evaluate(
          "document.querySelector('.account-name').textContent = 'A name as long as people have them'",
        );
        const wide = await page.evaluate('document.documentElement.scrollWidth - window.innerWidth');
        expect(wide, `${path} is wider than the screen`).to.be.at.most(0);
      }
      await context.close();
    });
  }

  it('sign-in too', async () => {
    const { page, context } = await farm.browse('nobody', '/');
    await page.getByRole('alert').waitFor();
    expect(await serious(page)).to.deep.equal([]);
    await context.close();
  });

  it('by keyboard alone: the skip link, the pages, a sensor, and the focus follows', async () => {
    const { page, context } = await farm.browse('ada', '/farms/north');
    await live(page);
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent.trim()')).to.equal('Skip to the content');
    await page.getByRole('link', { name: 'Row 3', exact: true }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Row 3' }).waitFor();
    await until('the focus follows', async () => (await page.evaluate('document.activeElement.id')) === 'main');
    await context.close();
  });
});
