import { expect } from 'chai';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { type Answer, call, Place, problemCode } from './harness.ts';

/** Who may call a route: everybody, who is signed in, who has at least this role on the farm, or who administers all farms. */
type Least = 'anybody' | 'signed-in' | 'viewer' | 'agronomist' | 'admin' | 'everything';

/** Every route of the HTTP interface. One without a row fails the test. */
const ROUTES: Readonly<Record<string, Least>> = {
  'GET /healthz': 'anybody',
  'GET /readyz': 'anybody',
  'POST /api/login': 'anybody',
  'POST /api/logout': 'anybody',
  'GET /api/me': 'signed-in',
  'PUT /api/me/password': 'signed-in',
  'GET /api/me/sessions': 'signed-in',
  'DELETE /api/me/sessions': 'signed-in',
  'DELETE /api/me/sessions/{session}': 'signed-in',
  'GET /api/farms': 'signed-in',
  'GET /api/system': 'signed-in',
  'GET /api/farms/{farm}/sensors': 'viewer',
  'GET /api/farms/{farm}/sensors/{sensor}': 'viewer',
  'GET /api/farms/{farm}/history': 'viewer',
  'GET /api/farms/{farm}/export.csv': 'viewer',
  'GET /api/farms/{farm}/sensors/{sensor}/commands': 'viewer',
  'POST /api/farms/{farm}/sensors/{sensor}/commands': 'agronomist',
  'POST /api/farms/{farm}/sensors': 'admin',
  'PUT /api/farms/{farm}/sensors/{sensor}': 'admin',
  'POST /api/farms/{farm}/sensors/{sensor}/secret': 'admin',
  'DELETE /api/farms/{farm}/sensors/{sensor}': 'admin',
  'POST /api/farms/{farm}/import': 'agronomist',
  'GET /api/farms/{farm}/quotas': 'admin',
  'GET /api/farms/{farm}/events': 'admin',
  'GET /api/farms/{farm}/refusals': 'admin',
  'GET /api/farms/{farm}/dead-letters': 'admin',
  'GET /api/farms/{farm}/dead-letters/{offset}': 'admin',
  'POST /api/farms/{farm}/dead-letters/{offset}/replay': 'admin',
  'POST /api/farms/{farm}/dead-letters/{offset}/discard': 'admin',
  'PUT /api/farms/{farm}/quotas': 'everything',
  'GET /api/dead-letters': 'everything',
  'GET /api/dead-letters/{offset}': 'everything',
  'POST /api/dead-letters/{offset}/replay': 'everything',
  'POST /api/dead-letters/{offset}/discard': 'everything',
  'GET /api/events': 'everything',
};

const ORDER: readonly Least[] = ['anybody', 'signed-in', 'viewer', 'agronomist', 'admin', 'everything'];
/** Callers, and the most that each may do on the farm north. */
const CALLERS: Readonly<Record<string, Least>> = {
  nobody: 'anybody',
  sam: 'signed-in',
  sue: 'signed-in',
  vera: 'viewer',
  otto: 'agronomist',
  nora: 'admin',
  ada: 'everything',
};

describe('who may call which route', () => {
  let place: Place;
  let gateway: Gateway;
  const cookies = new Map<string, string>([['nobody', '']]);

  before(async () => {
    place = await Place.open();
    await place.edit((text) => {
      const hash = /password: (\S+)/.exec(text)?.[1] ?? '';
      const user = (name: string, farms: string) => `  - { name: ${name}, password: "${hash}", farms: { ${farms} } }\n`;
      // Sue runs the other farm.
      return `${text}${user('otto', 'north: agronomist')}${user('nora', 'north: admin')}${user('sue', 'south: admin')}`;
    });
    gateway = await place.gateway();
    for (const name of Object.keys(CALLERS)) {
      if (name !== 'nobody') cookies.set(name, await place.signIn(gateway, name));
    }
  });

  after(() => place.close());

  /** Calls it with nothing that could be carried out, so that each caller finds everything as it was. */
  async function ask(name: string, method: string, path: string, body = '{}'): Promise<Answer> {
    const filled = path
      .replace('{farm}', 'north')
      .replace('{sensor}', 'nowhere')
      .replace('{offset}', '999999')
      .replace('{session}', 'none');
    const cookie = cookies.get(name) ?? '';
    if (method === 'GET') return await call(gateway.port, filled, { headers: { cookie } });
    // Node sends the body of a DELETE only when its length is said.
    const headers = { cookie, 'content-length': String(body.length) };
    return await call(gateway.port, filled, { method, headers, body });
  }
  const isIn = (answer: Answer) => {
    if (answer.status !== 401 && answer.status !== 403) return true;
    // Not for want of a right: the body has neither user nor password, or names another.
    return answer.status === 401 && problemCode(answer) === 'wrong-credentials';
  };

  it('is decided for every route that there is', () => {
    const routes = gateway.addresses.map(({ method, path }) => `${method} ${path}`);
    expect(Object.keys(ROUTES)).to.have.members(routes);
  });

  it('changes nothing with a body that is not JSON, also where no body is asked for', async () => {
    const changes = Object.keys(ROUTES).filter((route) => !route.startsWith('GET '));
    for (const route of changes) {
      const [method = '', path = ''] = route.split(' ');
      const answer = await ask('ada', method, path, 'user=ada&x={');
      expect([answer.status, answer.text.includes('not JSON')], route).to.deep.equal([400, true]);
    }
    expect((await ask('ada', 'GET', '/api/me')).status).to.equal(200);
  });

  for (const [route, least] of Object.entries(ROUTES)) {
    it(`${route}: ${least}`, async () => {
      const [method = '', path = ''] = route.split(' ');
      const found: Record<string, boolean> = {};
      const wanted: Record<string, boolean> = {};
      for (const [name, most] of Object.entries(CALLERS)) {
        if (route === 'POST /api/logout') continue;
        wanted[name] = ORDER.indexOf(most) >= ORDER.indexOf(least);
        found[name] = isIn(await ask(name, method, path));
      }
      expect(found).to.deep.equal(wanted);
    });
  }
});
