import { expect } from 'chai';
import { itIfLong } from '../services/length.ts';
import { FarmWithPage, live } from './farm-with-page.ts';

describe('a device with a wrong secret', function () {
  this.timeout(300_000);
  let farm: FarmWithPage;

  before(async () => {
    farm = await FarmWithPage.start();
  });
  after(() => farm?.stop());

  it('is found on the farm’s page by an admin who does not know where to look, and by nobody else', async () => {
    await farm.knock('north/s3');
    const { page, complaints } = await farm.browse('ada', '/farms/north');
    await live(page);
    const line = page.locator('.headline .trouble', { hasText: 'Refused' });
    await line.waitFor();
    expect(await line.textContent()).to.include('from 127.0.0.1: wrong password');
    await line.click();
    const card = page.locator('[data-refused="wrong_password"]');
    await card.waitFor();
    expect(await card.textContent()).to.match(/^Refused .* from 127\.0\.0\.1: wrong password/);
    await card.getByRole('link', { name: 'All events' }).click();
    await page.getByRole('heading', { level: 1, name: 'Events' }).waitFor();
    await page.getByRole('button', { name: 'Refused' }).click();
    const event = page.locator('[data-event="mqtt_refused"]').first();
    await event.waitFor();
    expect(await event.textContent())
      .to.include('s3')
      .and.include('127.0.0.1')
      .and.include('wrong password');
    await page.getByLabel('Search for a name, an address or a reason').fill('no such text');
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByText('No event is like that.').waitFor();
    expect(complaints).to.deep.equal([]);

    const viewer = await farm.browse('vic', '/farms/north');
    await live(viewer.page);
    await viewer.page.getByText('No sensor has reported yet').waitFor();
    expect(await viewer.page.locator('main').textContent()).to.not.include('Refused');
    await viewer.page.goto(`${farm.url}/farms/north/events`);
    await viewer.page.getByText('Only an administrator sees events').waitFor();
  });

  itIfLong('is found no more once the device is let in and heard', async () => {
    const { page } = await farm.browse('ada', '/farms/north/sensors/s3');
    await live(page);
    await page.locator('[data-refused]').waitFor();
    const device = await farm.sensor('s3');
    await device.send({ soil_moisture: 30 });
    await page.locator('[data-refused]').waitFor({ state: 'detached' });
  });

  it('is listed without a scroll bar across a phone, in the dark too', async () => {
    const { page } = await farm.browse('ada', '/farms/north/events', { width: 320, dark: true });
    await page.locator('.event').first().waitFor();
    await page.locator('[data-event="mqtt_refused"]').first().waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth - window.innerWidth')).to.be.at.most(0);
    const ground = await page.evaluate("getComputedStyle(document.querySelector('.events')).backgroundColor");
    const [red = 255] = /\d+/.exec(String(ground))?.map(Number) ?? [];
    expect(red).to.be.lessThan(80);
  });
});
