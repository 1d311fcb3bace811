import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import type { Page } from 'playwright-core';
import { until } from '../services/wait.ts';
import { FarmWithPage, live, PASSWORD, ZONE } from './farm-with-page.ts';

const MINUTE = 60_000;

describe('the dashboard, through the whole stack', function () {
  this.timeout(300_000);
  let farm: FarmWithPage;
  let s1: Awaited<ReturnType<FarmWithPage['sensor']>>;
  let s2: Awaited<ReturnType<FarmWithPage['sensor']>>;
  let admin: Awaited<ReturnType<FarmWithPage['browse']>>;
  let page: Page;

  before(async () => {
    farm = await FarmWithPage.start();
    [s1, s2] = [await farm.sensor('s1'), await farm.sensor('s2')];
    for (let minute = 90; minute > 1; minute -= 3) {
      const ts = Date.now() - minute * MINUTE;
      await s1.send({ soil_moisture: 30 + minute / 30, soil_temperature: 12 }, ts);
      await s2.send({ soil_moisture: 25 + minute / 30 }, ts);
    }
    admin = await farm.browse('ada', '/farms/north');
    page = admin.page;
    await live(page);
  });

  after(async () => {
    await farm?.stop();
  });

  const open = async (path: string) => {
    await page.goto(farm.url + path);
    await live(page);
  };
  const value = (sensor: string) => page.locator(`[data-sensor="${sensor}"][data-metric="soil_moisture"]`).first();
  const shows = (sensor: string, text: string) =>
    until(`${sensor} shows ${text}`, async () => (await value(sensor).textContent()) === text);

  it('Farm: a value changes as it is measured, and what is wrong is said first, in words and on the plan', async () => {
    await s1.send({ soil_moisture: 31.2 });
    await shows('s1', '31.2');
    await s1.send({ soil_moisture: 14.5 });
    await shows('s1', '14.5');
    const headline = page.locator('.headline');
    await headline.getByText('Too dry').waitFor();
    expect(await headline.textContent())
      .to.include('Orchard')
      .and.include('14.5 %')
      .and.include('20.0 to 45.0 %');
    await page.locator('.plan-field.plan-dry').waitFor();
    await page
      .locator('.plan')
      .getByRole('link', { name: /^Orchard\s+Too dry/ })
      .waitFor();
    await page.locator('[data-field="f1"][data-tone="dry"]').waitFor();
    await s1.send({ soil_moisture: 31.2 });
    await page.locator('[data-field="f1"][data-tone="fine"]').waitFor();
  });

  it('Farm: a value past its interval turns grey and says that it is old', async () => {
    const quick = await farm.sensor('quick');
    await quick.send({ soil_moisture: 30 });
    await shows('quick', '30.0');
    const row = page.locator('[data-sensor-row="quick"]');
    await row.locator('.old').waitFor();
    expect(await row.textContent()).to.match(/old, \d/);
  });

  it('Farm: the plan leads to the field, Back leads to the farm', async () => {
    await page
      .locator('.plan')
      .getByRole('link', { name: /^Orchard/ })
      .click();
    await page.getByRole('heading', { level: 1, name: 'Orchard' }).waitFor();
    expect(new URL(page.url()).pathname).to.equal('/farms/north/fields/f1');
    await page.goBack();
    await page.locator('.field-cards').waitFor();
  });

  it('Field: its sensors beside each other with the way they go, and one chart of all', async () => {
    await open('/farms/north/fields/f1');
    await page.locator('[data-sensor-card="s1"] .trend-falling').waitFor();
    await page.locator('[data-sensor-card="s2"]').waitFor();
    const legend = page.locator('.legend');
    await legend.getByText('Row 9').waitFor();
    await page.locator('.chart-words').waitFor();
    await page.getByRole('button', { name: 'Row 9', exact: true }).click();
    await legend.getByText('Row 9').waitFor({ state: 'detached' });
  });

  it('Sensor: a chart for every metric, zoomed by dragging, and Back undoes it', async () => {
    await open('/farms/north/sensors/s1?range=1h');
    await page.locator('[data-chart="soil_temperature"] .chart-words').waitFor();
    await page.locator('[data-chart="soil_moisture"] .chart-words').waitFor();
    const over = page.locator('[data-chart="soil_moisture"] .u-over');
    const box = await over.boundingBox();
    if (!box) throw new Error('the chart has no place');
    await page.mouse.move(box.x + box.width * 0.25, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.5, box.y + 40, { steps: 5 });
    await page.mouse.up();
    await page.waitForURL(/from=.*&to=/);
    const query = new URL(page.url()).searchParams;
    const [from, to] = [Date.parse(query.get('from') ?? ''), Date.parse(query.get('to') ?? '')];
    expect((to - from) / MINUTE).to.be.within(13, 17);
    expect((Date.now() - to) / MINUTE).to.be.within(28, 33);
    await page.goBack();
    await page.waitForURL(/range=1h/);
    await page.locator('button[aria-pressed="true"]', { hasText: 'Live' }).waitFor();
  });

  it('Sensor: one crosshair for all charts, by mouse and by keyboard', async () => {
    await page.locator('[data-chart="soil_temperature"] .chart-words').waitFor();
    const over = page.locator('[data-chart="soil_moisture"] .u-over');
    await over.hover({ position: { x: 200, y: 50 } });
    await page.locator('[data-chart="soil_temperature"] .readout b', { hasText: '12.0 °C' }).waitFor();
    const slider = page.getByRole('slider', { name: /^Soil moisture/ });
    await slider.press('Home');
    expect(await slider.getAttribute('aria-valuetext')).to.match(/^3[12]\.\d %/);
  });

  it('Sensor: days are those of the farm, whatever the zone of the viewer', async () => {
    await open('/farms/north/sensors/s1?range=1h');
    await page.getByText('Other dates').click();
    const shown = await page.getByLabel('To', { exact: true }).inputValue();
    const there = new Intl.DateTimeFormat('sv-SE', { timeZone: ZONE, dateStyle: 'short', timeStyle: 'short' });
    const near = [0, MINUTE, 2 * MINUTE].map((ago) => there.format(Date.now() - ago).replace(' ', 'T'));
    expect(near).to.include(shown);
    await page.getByText('Other dates').click();
  });

  it('Sensor: the CSV holds what is on screen', async () => {
    await open('/farms/north/sensors/s1?range=24h');
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: 'CSV' }).click(),
    ]);
    const text = await readFile(await download.path(), 'utf8');
    expect(download.suggestedFilename()).to.match(/\.csv$/);
    expect(text).to.include('soil_moisture').and.include('31.2').and.include('14.5');
    expect(text.trim().split('\n').length).to.be.above(60);
  });

  it('a line that is cut says so, and after it is back the chart has no hole', async () => {
    await open('/farms/north/sensors/s2?range=1h');
    await page.locator('.chart-words').first().waitFor();
    farm.proxy.cut();
    await page.getByText(/^Offline since/).waitFor();
    const begin = Date.now();
    for (let i = 0; i < 5; i++) await s2.send({ soil_moisture: 40 + i / 10 }, begin - 4_000 + i * 1_000);
    farm.proxy.restore();
    await page.evaluate("window.dispatchEvent(new Event('online'))");
    await live(page);
    await page.locator('.now .number', { hasText: '40.4' }).waitFor();
    await page.locator('.chart-words', { hasText: 'highest 40.4' }).waitFor();
    const slider = page.getByRole('slider', { name: /^Soil moisture/ });
    await slider.press('End');
    expect(await slider.getAttribute('aria-valuetext')).to.match(/^40\.\d %/);
  });

  it('two tabs of one browser show the same, and signing out in one ends the other', async () => {
    const { context, page: first } = await farm.browse('vic', '/farms/north');
    await live(first);
    const second = await context.newPage();
    await second.goto(`${farm.url}/farms/north`);
    await live(second);
    await s1.send({ soil_moisture: 33.3 });
    for (const tab of [first, second]) {
      await tab.locator('[data-sensor="s1"]', { hasText: '33.3' }).first().waitFor();
    }
    await second.getByLabel('Account: vic').click();
    await second.getByRole('button', { name: 'Sign out' }).click();
    await second.getByLabel('Password').waitFor();
    await first.reload();
    await first.getByLabel('Password').waitFor();
    await context.close();
  });

  it('Playback: the day goes by on plan and chart together', async () => {
    await open('/farms/north/playback');
    const slider = page.getByRole('slider', { name: 'Time of day' });
    await slider.waitFor();
    await page.locator('.day-chart .legend').getByText('Orchard').waitFor();
    await slider.press('End');
    await page.locator('.plan-field.plan-fine').first().waitFor();
    await slider.press('Home');
    const before = await slider.inputValue();
    await page.getByRole('button', { name: 'Play', exact: true }).click();
    await until('the time moves', async () => Number(await slider.inputValue()) > Number(before) + 5 * MINUTE);
    await page.getByRole('button', { name: 'Pause' }).click();
  });

  it('Sensors: an admin adds one, connects it with what is shown once, changes it, replaces its secret and removes it', async () => {
    await open('/farms/north/sensors');
    await page.getByRole('button', { name: 'Add a sensor' }).click();
    await page.getByLabel('Id', { exact: true }).fill('new-1');
    await page.getByLabel('Name', { exact: true }).fill('By the pond');
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    const told = page.getByRole('dialog');
    await told.getByText('Its secret is shown this once.').waitFor();
    const [secret = '', line = ''] = await told.locator('code').allTextContents();
    expect(line).to.include(secret).and.include('farms/north/sensors/new-1/telemetry');
    await told.getByRole('button', { name: 'Done' }).click();
    const row = page.locator('[data-sensor-line="new-1"]');
    await row.getByText('By the pond').waitFor();
    expect(await row.locator('[data-label="Clock"]').textContent(), 'of a clock that nobody has seen').to.equal('–');
    const sensor = await until('it connects', () => farm.sensor('new-1', secret).catch(() => undefined));
    await sensor.send({ soil_moisture: 28 });
    await row.getByText('Online').waitFor();

    await page.getByRole('button', { name: 'Change By the pond' }).click();
    await page.getByLabel('Name', { exact: true }).fill('By the weir');
    await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
    await row.getByText('By the weir').waitFor();

    await page.getByRole('button', { name: 'Replace By the weir' }).click();
    await page.getByRole('button', { name: 'Make a new secret' }).click();
    await told.getByText('Its secret is shown this once.').waitFor();
    expect(await told.locator('code').first().textContent()).not.to.equal(secret);
    await told.getByRole('button', { name: 'Done' }).click();

    await page.getByRole('button', { name: 'Remove By the weir' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Remove', exact: true }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  });

  it('Sensors: what the gateway refuses is said in the form, which keeps what was typed', async () => {
    await page.getByRole('button', { name: 'Add a sensor' }).click();
    await page.getByLabel('Id', { exact: true }).fill('s1');
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await page.getByRole('dialog').getByRole('alert').waitFor();
    expect(await page.getByLabel('Id', { exact: true }).inputValue()).to.equal('s1');
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  });

  it('Dead letters: why, what and whose; replayed, it comes back when it still cannot be read; discarded, it is settled', async () => {
    await s1.raw('{"soil_moisture": 31.2');
    await open('/farms/north/dead-letters');
    const letter = page.locator('[data-letter]').first();
    await letter.getByRole('heading', { name: 'Not JSON' }).waitFor();
    await letter.getByRole('link', { name: 'Row 3' }).waitFor();
    await letter.getByText('What was sent').click();
    expect(await letter.locator('.payload').textContent()).to.equal('{"soil_moisture": 31.2');
    const offset = await letter.getAttribute('data-letter');
    await letter.getByRole('button', { name: 'Replay' }).click();
    await page.getByText(/^Replayed: it goes the whole way again/).waitFor();
    await page.getByRole('button', { name: 'Replayed 1' }).waitFor();
    await page.goto(page.url());
    const again = page.locator(`[data-letter]:not([data-letter="${offset}"])`).first();
    await again.getByRole('button', { name: 'Discard' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Discard' }).click();
    await page.getByRole('button', { name: 'Discarded 1' }).click();
    await page.getByText(/^Discarded .* by ada$/).waitFor();
  });

  it('System: every part by name and in words', async () => {
    await open('/system');
    await page.getByText('Every part works').waitFor();
    expect(await page.locator('[data-part]').count()).to.be.above(2);
  });

  it('System: a part that work goes on without needs a look, and is not called broken', async () => {
    const parts = [
      { name: 'queue', ok: true },
      { name: 'disk', ok: false, optional: true, why: '82 % of the file system are in use' },
    ];
    await page.route('**/api/system', (route) => route.fulfill({ json: { parts, figures: [] } }));
    await open('/system');
    await page.getByText('Every part works; 1 needs a look').waitFor();
    const disk = page.locator('[data-part="disk"]');
    expect(await disk.textContent())
      .to.include('Disk')
      .and.include('Needs a look: 82 %')
      .and.not.include('Not working');
    await page.unroute('**/api/system');
  });

  it('Account: units and colours are this browser’s, at once and after a reload', async () => {
    await open('/account');
    await page.getByLabel('Imperial (°F, in)').check();
    await page.getByLabel('Dark').check();
    await open('/farms/north/sensors/s1?range=1h');
    await page.locator('[data-chart="soil_temperature"] .chart-words', { hasText: '53.6 °F' }).waitFor();
    expect(await page.locator('html').getAttribute('data-theme')).to.equal('dark');
    await open('/account');
    await page.getByLabel('Metric (°C, mm)').check();
    await page.getByLabel('Light').check();
  });

  it('a viewer is offered nothing of an admin’s, and refused what is not theirs', async () => {
    const { page: viewer, context } = await farm.browse('vic', '/farms/north/sensors');
    await live(viewer);
    await viewer.locator('[data-sensor-line="s1"]').waitFor();
    for (const name of ['Add a sensor', 'Remove Row 3'])
      expect(await viewer.getByRole('button', { name }).count(), name).to.equal(0);
    expect(await viewer.getByRole('link', { name: 'Dead letters' }).count()).to.equal(0);
    await viewer.goto(`${farm.url}/farms/north/dead-letters`);
    await viewer.getByText('Only an administrator sees dead letters').waitFor();
    await viewer.goto(`${farm.url}/farms/south`);
    await viewer.getByText(/no access to this farm/).waitFor();
    const refused = await viewer.request.get(`${farm.url}/api/farms/south/sensors`);
    expect(refused.status()).to.equal(403);
    await context.close();
  });

  it('says what is wrong with an address, a field or a sensor that is not there, and leads back', async () => {
    for (const [path, words] of [
      ['/nowhere', 'There is no such page'],
      ['/farms/north/fields/x', 'There is no field “x”'],
      ['/farms/north/sensors/x', 'There is no sensor “x”'],
    ] as const) {
      await page.goto(farm.url + path);
      await page.getByText(words).waitFor();
      await page
        .getByRole('link', { name: /North Farm/ })
        .last()
        .click();
      await page.locator('.field-cards').waitFor();
    }
  });

  it('Account: a new password takes the current one, and every other device of the user has to sign in with it', async () => {
    const { page: own, context } = await farm.browse('vic', '/account');
    const { page: other, context: elsewhere } = await farm.browse('vic', '/farms/north');
    await live(other);
    const save = async (current: string) => {
      await own.getByLabel('Current password').fill(current);
      await own.getByLabel('New password').fill('a newer battery');
      await own.getByRole('button', { name: 'Save password' }).click();
    };
    await save('not the one');
    await own.getByText('The current password is wrong.').waitFor();
    await save(PASSWORD);
    await own.getByText('The new password is in force.').waitFor();
    await other.getByLabel('User').fill('vic');
    await other.getByLabel('Password').fill('a newer battery');
    await other.getByRole('button', { name: 'Sign in' }).click();
    await live(other);
    await Promise.all([context.close(), elsewhere.close()]);
  });

  it('has asked no other host for anything, and never complained', () => {
    expect(admin.strangers).to.deep.equal([]);
    expect(admin.complaints).to.deep.equal([]);
  });
});
