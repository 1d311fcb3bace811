import { expect } from 'chai';
import { type Fault, faultsOf } from './faults.ts';
import { Dice } from './random.ts';
import { type ChaosResult, chaos } from './run.ts';
import { embeddedStage, type Stage, serversStage } from './stage.ts';

// The same every time; `npm run chaos -- --seed N --faults N` is the long form.
const SEED = 7;

describe('under load, while things break one after another', function () {
  this.timeout(180_000);
  let stage: Stage | undefined;

  afterEach(async () => {
    await stage?.close();
    stage = undefined;
  });

  function nothingLost({ audit, load, happened }: ChaosResult): void {
    expect(audit.promised, JSON.stringify(load.errors)).to.be.greaterThan(500);
    expect(
      { missing: audit.missing, duplicates: audit.duplicates, examples: audit.examples },
      JSON.stringify(happened),
    ).to.deep.equal({ missing: 0, duplicates: 0, examples: [] });
    expect(load.unacknowledged).to.equal(0);
  }

  it('`loam up` keeps every acknowledged reading once', async () => {
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

  it('broker, workers and gateway on a RabbitMQ cluster and InfluxDB keep every acknowledged reading once', async () => {
    stage = await serversStage({ sensors: 10, nodes: 3, workers: 2 });
    const dice = new Dice(SEED);
    const all = faultsOf(stage);
    const chosen = [
      'kill -9 broker',
      'kill -9 worker-1',
      'kill -9 gateway',
      'InfluxDB stopped',
      'InfluxDB answers 503',
      'InfluxDB does not answer',
      'connections to RabbitMQ cut',
      'kill -9 one RabbitMQ node of three',
    ];
    const faults = chosen
      .map((name) => all.find((fault) => fault.name === name))
      .filter((fault): fault is Fault => !!fault);
    expect(faults).to.have.length(chosen.length);
    const result = await chaos(stage, {
      faults: dice.draw(faults, faults.length),
      dice,
      pace: { loop: 'open', rate: 500 },
      holdMs: [500, 1_000],
      restMs: [300, 1_000],
    });
    nothingLost(result);
    // One line when an outage begins, never one a message.
    const lines = (stage.roles['worker-1']?.log ?? '').split('\n').filter((line) => line.includes('is away'));
    expect(lines.length).to.be.lessThan(20);
  });
});
