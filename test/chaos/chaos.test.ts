import { expect } from 'chai';
import { whyNoDisks } from '../services/disk-image.ts';
import { whyNoHosts } from '../services/hosts.ts';
import { itIfLong, shortOrLong } from '../services/length.ts';
import { diskStage } from './disk-stage.ts';
import { faultsOf } from './faults.ts';
import { hostFaults, hostsStage } from './hosts-stage.ts';
import { Dice } from './random.ts';
import { type ChaosResult, chaos } from './run.ts';
import { embeddedStage, type Stage } from './stage.ts';

// The same every time; `npm run chaos -- --seed N --faults N` is the long form.
const SEED = 7;

/** What the short form has of the faults of a disk, in another order each time the seed is changed. */
const DISK_FAULTS = shortOrLong(3, 15);

/** What the short form has of the faults of PostgreSQL, and of the network between hosts: after one all read anew, with the other most do not. */
const HOST_FAULTS = ['kill -9 PostgreSQL', 'PostgreSQL cut from the host of worker-1'];

describe('under load, while things break one after another', function () {
  this.timeout(300_000);
  let stage: Stage | undefined;

  afterEach(async () => {
    await stage?.close();
    stage = undefined;
  });

  function nothingLost({ audit, load, happened, account }: ChaosResult): void {
    expect(audit.promised, JSON.stringify(load.errors)).to.be.greaterThan(500);
    expect(
      { missing: audit.missing, duplicates: audit.duplicates, examples: audit.examples },
      JSON.stringify(happened),
    ).to.deep.equal({ missing: 0, duplicates: 0, examples: [] });
    expect(load.unacknowledged).to.equal(0);
    expect({ lost: account.lost, suspect: account.suspect }, 'batches').to.deep.equal({ lost: 0, suspect: 0 });
    expect(account.asked).to.be.greaterThan(0);
  }

  itIfLong('`loam up` keeps every acknowledged reading once', async () => {
    stage = await embeddedStage(10);
    const dice = new Dice(SEED);
    const result = await chaos(stage, {
      faults: dice.draw(faultsOf(stage), 2),
      dice,
      pace: { loop: 'open', rate: 1_000 },
      holdMs: [500, 1_000],
      restMs: [500, 2_000],
    });
    nothingLost(result);
    expect(stage.roles.up?.restarts).to.equal(2);
  });

  const whyNot = whyNoHosts();
  if (whyNot !== undefined) {
    it(`roles on hosts of their own are not tried on this machine: ${whyNot}`, () => {});
  } else {
    itIfLong(
      'roles on hosts of their own lose nothing, and know every edit that was made while PostgreSQL was away',
      async () => {
        const separate = await hostsStage({ sensors: 10, workers: 2 });
        stage = separate;
        const dice = new Dice(SEED);
        const all = hostFaults(separate.hosts);
        const some = all.filter(({ name }) => HOST_FAULTS.includes(name));
        const faults = shortOrLong(some, dice.draw(all, all.length));
        const result = await chaos(stage, {
          faults,
          dice,
          pace: { loop: 'open', rate: 300 },
          holdMs: [500, 1_000],
          restMs: [100, 500],
        });
        nothingLost(result);
        expect(separate.hosts.edits.made).to.have.length(faults.length);
        for (const role of Object.values(stage.roles)) expect(role.endings, role.name).to.deep.equal([]);
      },
    );
  }

  const why = whyNoDisks();
  if (why !== undefined) {
    it(`\`loam up\` on a disk that fills up, fails and loses power is not tried on this machine: ${why}`, () => {});
    return;
  }

  it('`loam up` keeps every acknowledged reading once on a disk that fills up, fails and loses power, and never ends', async () => {
    stage = await diskStage(10, 192);
    const dice = new Dice(SEED);
    const result = await chaos(stage, {
      faults: dice.draw(faultsOf(stage), DISK_FAULTS),
      dice,
      pace: { loop: 'open', rate: 500 },
      holdMs: [1_500, 2_500],
      restMs: [200, 1_000],
    });
    nothingLost(result);
    expect(stage.roles.up?.endings).to.deep.equal([]);
  });
});
