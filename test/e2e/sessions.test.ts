import { expect } from 'chai';
import { FarmWithPage, live } from './farm-with-page.ts';

describe('two browsers of one person', function () {
  this.timeout(180_000);
  let farm: FarmWithPage;

  before(async () => {
    farm = await FarmWithPage.start();
  });

  after(async () => {
    await farm?.stop();
  });

  it('see each other in the account, and the one that is signed out there is at once without access', async () => {
    const lost = await farm.browse('ada', '/farms/north');
    await live(lost.page);
    const here = await farm.browse('ada', '/account');
    const list = here.page.locator('.my-sessions li');
    await list.nth(1).waitFor();
    expect(await here.page.locator('.my-sessions').textContent())
      .to.include('this one')
      .and.include('127.0.0.1');
    await here.page
      .getByRole('button', { name: /^Sign out .* on / })
      .first()
      .click();
    // Nobody touches it: its live connection ends, and it asks who is signed in.
    await lost.page.getByRole('button', { name: /sign in/i }).waitFor();
    expect((await lost.page.request.get(`${farm.url}/api/me`)).status()).to.equal(401);
    await here.page.getByText('Nowhere else.').waitFor();
    expect((await here.page.request.get(`${farm.url}/api/me`)).status()).to.equal(200);
    await here.context.close();
    await lost.context.close();
  });
});
