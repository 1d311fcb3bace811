import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { since } from '../../cli/audit.ts';
import { compare } from '../../cli/audit-compare.ts';
import { ConfigInvalid } from '../../core/errors.ts';
import { runLoad } from '../../simulators/load/load.ts';
import { embeddedStage, type Stage } from '../chaos/stage.ts';
import { run } from '../e2e/loam-process.ts';
import { until } from '../services/wait.ts';

async function* each<T>(...items: T[]): AsyncGenerator<T> {
  yield* items;
}

describe('an audit', () => {
  const promised = (seq: number) => ({ farm: 'f', sensor: 's', seq, ts: 1_000 + seq });
  const stored =
    (...seqs: number[]) =>
    () =>
      each(...seqs.map((seq) => ({ ts: 1_000 + seq, value: seq })));

  it('finds what is missing, what is there twice, and what nobody was promised', async () => {
    const audit = await compare(each(promised(1), promised(2), promised(3)), stored(1, 3, 3, 9));
    expect(audit).to.deep.equal({
      sensors: 1,
      promised: 3,
      found: 2,
      missing: 1,
      duplicates: 1,
      unpromised: 1,
      examples: [promised(2)],
    });
  });

  it('counts a number at another time as missing, and a second time of it as a duplicate', async () => {
    const audit = await compare(each(promised(1)), () => each({ ts: 5, value: 1 }, { ts: 6, value: 1 }));
    expect(audit).to.include({ found: 0, missing: 1, duplicates: 1 });
  });

  it('takes a time, Unix ms or a span, and nothing else', () => {
    expect(since(undefined, 5)).to.equal(0);
    expect(since('10m', 3_600_000)).to.equal(3_000_000);
    expect(since('1764000000000', 0)).to.equal(1_764_000_000_000);
    expect(since('2026-01-31T12:00:00Z', 0)).to.equal(Date.UTC(2026, 0, 31, 12));
    for (const wrong of ['yesterday', '10', '1y', '-1h', '2026'])
      expect(() => since(wrong, 0), wrong).to.throw(ConfigInvalid);
  });
});

describe('loam audit', function () {
  this.timeout(90_000);
  let stage: Stage;

  before(async () => {
    stage = await embeddedStage(3);
  });

  after(() => stage.close());

  it('says that everything acknowledged is stored, and notices what is not', async () => {
    const { up } = stage.roles;
    const [, url = ''] = (await up?.says(/open (http:\/\/[^/\s]+)/i)) ?? [];
    const promises = join(stage.folder, 'promises.ndjson');
    const load = await runLoad({
      url: stage.mqttUrl,
      connections: stage.connections,
      pace: { loop: 'closed' },
      total: 600,
      qos: 1,
      inFlight: 16,
      times: { are: 'stepped', first: Date.now() - 60_000, step: 7 },
      promises,
    });
    expect(load.acknowledged).to.equal(600);
    await until('the queue is empty', async () => (await up?.metric('loam_queue_depth')) === 0);
    const env = { LOAM_DATA: stage.folder, LOAM_URL: url };
    const good = await run(['audit', promises, '--since', '1h', '--json'], env);
    expect(good.stderr).to.equal('');
    expect(JSON.parse(good.stdout)).to.include({ sensors: 3, promised: 600, found: 600, missing: 0, duplicates: 0 });
    expect(good.code).to.equal(0);

    const [first = ''] = (await readFile(promises, 'utf8')).split('\n');
    await appendFile(promises, `${JSON.stringify({ ...JSON.parse(first), seq: 90_000, count: 1 })}\n`);
    const bad = await run(['audit', promises], env);
    expect(bad.stdout).to.contain('1 are missing').and.to.contain('number 90000');
    expect(bad.code).to.equal(1);
  });

  it('says which line of a promise file is none', async () => {
    const broken = join(stage.folder, 'broken.ndjson');
    await writeFile(broken, '{"farm":1}\n{}\n');
    const { code, stderr } = await run(['audit', broken], { LOAM_DATA: stage.folder });
    expect(stderr).to.contain('broken.ndjson:1');
    expect(code).to.equal(2);
  });
});
