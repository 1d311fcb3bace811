import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { CHANNEL } from '../../backbone/registry/postgres/schema.ts';
import { LabelValues, Metrics } from '../../core/metrics.ts';
import { code, projectFile, tableRows } from './house-table.ts';

describe('metrics', () => {
  it('give one metric to everybody who asks for its name, so that parts of a kind count together', async () => {
    const metrics = new Metrics();
    metrics.counter('loam_a_total', 'A').inc();
    metrics.counter('loam_a_total', 'A').inc(2);
    metrics.histogram('loam_b_seconds', 'B').observe(0.3);
    metrics.histogram('loam_b_seconds', 'B').observe(0.3);
    expect(await metrics.text())
      .to.contain('\nloam_a_total 3\n')
      .and.to.contain('\nloam_b_seconds_count 2\n');
  });

  it('belong to one process: what one registry counts, another does not show', async () => {
    new Metrics().counter('loam_a_total', 'A').inc();
    expect(await new Metrics().text()).not.to.contain('loam_a_total');
  });

  it('leave a value out that cannot be read at the moment, and show the others', async () => {
    const metrics = new Metrics();
    metrics.gauge('loam_a', 'A', () => Promise.reject(new Error('away')));
    metrics.gauge('loam_b', 'B', () => {
      throw new Error('away');
    });
    metrics.gauge('loam_c', 'C', () => undefined);
    let d = 4;
    metrics.gauge('loam_d', 'D', async () => d);
    expect((await metrics.text()).match(/^loam_.*$/gm)).to.deep.equal(['loam_d 4']);
    d = 5;
    expect((await metrics.text()).match(/^loam_.*$/gm)).to.deep.equal(['loam_d 5']);
  });

  it('show counts that are kept elsewhere, by event, as they are when asked', async () => {
    const metrics = new Metrics();
    const counts = { received: 1, published: 0 };
    metrics.counts('loam_events_total', 'Events', () => ({ ...counts }));
    await metrics.text();
    counts.received = 7;
    expect((await metrics.text()).match(/^loam_.*$/gm)).to.deep.equal([
      'loam_events_total{event="received"} 7',
      'loam_events_total{event="published"} 0',
    ]);
  });

  it('have a thousand values of a label at most', () => {
    const farms = new LabelValues();
    const given = Array.from({ length: 1_500 }, (_, i) => farms.of(`farm-${i}`));
    expect(new Set(given).size).to.equal(1_001);
    expect(farms.of('farm-3')).to.equal('farm-3');
    expect(farms.of('farm-1400')).to.equal('other');
  });

  it('are all listed in docs/metrics.md, and no others', async () => {
    const found = new Set<string>();
    for (const folder of ['core', 'backbone', 'broker', 'workers', 'dashboard-gateway', 'roles', 'cli']) {
      for (const file of await sources(folder)) {
        for (const [, name] of file.matchAll(/['"](loam_[a-z0-9_]+)['"]/g)) if (name !== undefined) found.add(name);
      }
    }
    // A channel of PostgreSQL, and no metric.
    found.delete(CHANNEL);
    const rows = tableRows(await projectFile('docs/metrics.md'), 'name');
    expect(rows.map(([name]) => code(name)).sort()).to.deep.equal([...found].sort());
    for (const [name, ...cells] of rows) for (const cell of cells.slice(1)) expect(cell, name).to.match(/\w/);
  });
});

async function sources(folder: string): Promise<string[]> {
  const root = fileURLToPath(new URL(`../../${folder}`, import.meta.url));
  const files = await readdir(root, { recursive: true });
  return Promise.all(files.filter((file) => file.endsWith('.ts')).map((file) => readFile(`${root}/${file}`, 'utf8')));
}
