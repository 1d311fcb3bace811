import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { z } from 'zod';
import { SecretKeys } from '../../core/secret-key.ts';
import { LoamProcess, run } from '../e2e/loam-process.ts';
import { itIfLong, shortOrLong } from '../services/length.ts';
import { postgres } from '../services/postgres.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';

const [OLD, NEW] = ['o'.repeat(32), 'n'.repeat(32)];
const PLACE = { kind: 'source', id: 'west', key: 'password' };
const CHECK = z.object({
  name: z.string(),
  ok: z.boolean(),
  optional: z.boolean().optional(),
  why: z.string().optional(),
});
const NAME = 'the password of source west';

describe('loam secrets', function () {
  this.timeout(120_000);
  let data: string;
  let env: Record<string, string>;

  beforeEach(async () => {
    data = join(await temporaryFolder(), 'data');
    env = { LOAM_DATA: data, LOAM_MQTT_PORT: '0', LOAM_HTTP_PORT: '0', LOAM_SECRET_KEY: OLD };
  });

  /** Runs a command that must end so, and resolves to all that it says. */
  async function loam(args: readonly string[], more: Record<string, string> = {}, { code = 0, input = '' } = {}) {
    const ended = await run(args, { ...env, ...more }, input);
    expect(ended.code, `${args.join(' ')}: ${ended.stdout}${ended.stderr}`).to.equal(code);
    return ended;
  }
  /** Seals a password, puts it into a new registry with a token beside it, and resolves to the sealed text. */
  async function begin(): Promise<string> {
    const { stdout } = await loam(['secrets', 'seal', 'source', 'west', 'password'], {}, { input: 'apple tree\n' });
    const file = join(await temporaryFolder(), 'farms.yaml');
    await writeFile(
      file,
      `farms: [{ id: north, name: North, timezone: UTC }]
sources: [{ id: west, farm: north, url: "mqtt://127.0.0.1:1", topics: ["#"], username: u, password: "${stdout.trim()}" }]
`,
    );
    await loam(['registry', 'import', file]);
    return stdout.trim();
  }
  const exported = async () => (await loam(['registry', 'export'])).stdout;

  it('seals for a place that has such a secret, and prints nothing that tells it', async () => {
    await loam(['init'], {});
    const { stdout } = await loam(['secrets', 'seal', 'source', 'west', 'password'], {}, { input: 'apple tree\n' });
    expect(new SecretKeys(OLD).open(PLACE, stdout.trim())).to.equal('apple tree');
    const nowhere = await loam(['secrets', 'seal', 'user', 'ada', 'password'], {}, { code: 2, input: 'apple tree\n' });
    expect(nowhere.stderr).to.include('source ID password').and.not.include('apple');
    await loam(['secrets', 'seal', 'source', 'west', 'password'], {}, { code: 2, input: '\n' });
  });

  const places = [
    ['in a file', false],
    ['on a server', true],
  ] as const;
  for (const [where, onServer] of shortOrLong<readonly (typeof places)[number][]>(places.slice(1), places)) {
    itIfLong(
      `seals anew with the first key what an old one opens, and says what needs an old one still, ${where}`,
      async () => {
        if (onServer) env.LOAM_REGISTRY = await (await postgres()).createDatabase();
        else await loam(['init']);
        const sealed = await begin();
        await loam(['sensor', 'add', 'p-1', '--farm', 'north', '--token', 'A1_TEST_TOKEN/9f3+c0']);
        const { stderr } = await loam(['registry', 'export']);
        expect(stderr).to.include(NAME).and.include('the token of north/p-1');

        const alone = await loam(['secrets', 'reseal'], { LOAM_SECRET_KEY: NEW }, { code: 1 });
        expect(alone.stderr).to.include(`${NAME} stays as it is: it needs the key ${new SecretKeys(OLD).id}`);
        expect(await exported(), 'what no key opens is as it was').to.include(sealed);

        const both = await loam(['secrets', 'reseal'], { LOAM_SECRET_KEY: `${NEW},${OLD}` }, { code: 1 });
        expect(both.stdout).to.include('1 sealed anew');
        expect(both.stderr).to.include('the token of north/p-1 stays as it is').and.not.include(NAME);
        const [anew = ''] = /sealed:[\w:-]+/.exec(await exported()) ?? [];
        expect(new SecretKeys(NEW).open(PLACE, anew)).to.equal('apple tree');
        await loam(['sensor', 'remove', 'p-1']);
        expect((await loam(['secrets', 'reseal'], { LOAM_SECRET_KEY: NEW })).stdout).to.include('Nothing');
      },
    );
  }

  it('with another key Loam runs, its readiness and loam check name what is off, and the text stays', async () => {
    await loam(['init']);
    const sealed = await begin();
    const ops = await freePort();
    const wrong = { LOAM_SECRET_KEY: NEW };
    const up = new LoamProcess(['up', '--no-demo'], { ...env, ...wrong, LOAM_OPS_PORT: String(ops) });
    try {
      await up.says(/Loam is running/);
      await until('it is ready, and the source off', async () => {
        const answer = await fetch(`http://127.0.0.1:${ops}/readyz`);
        const { checks } = z.object({ checks: z.array(CHECK) }).parse(await answer.json());
        expect(answer.status).to.equal(200);
        const whyOf = (name: string) => checks.find((check) => check.name === name && !check.ok && check.optional)?.why;
        return whyOf('secret key')?.includes(NAME) && whyOf('source west')?.includes('needs the key');
      });
      expect(up.stderr + up.stdout)
        .to.include('secret_key_wrong')
        .and.include(NAME);
      const checked = await loam(['check'], wrong, { code: 2 });
      expect(checked.stdout)
        .to.match(/FAILED {2}registry: LOAM_SECRET_KEY/)
        .and.include(NAME);
      expect(await exported()).to.include(sealed);
    } finally {
      await up.stop();
    }
  });
});
