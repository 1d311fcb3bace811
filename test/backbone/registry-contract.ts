import { expect } from 'chai';
import type { RegistryPort } from '../../backbone/ports/registry.ts';
import { Closed, RegistryConflict, RegistryInvalid } from '../../core/errors.ts';
import type { Change } from '../../telemetry/registry/registry.ts';
import { canonical, versionOf } from '../../telemetry/registry/things.ts';
import { until } from '../services/wait.ts';
import { range, rejection } from './numbered.ts';
import { farm, farmOf, field, hash, removal, sensor, user } from './registry-things.ts';

/** A registry of an adapter that nobody has open, with nothing in it. */
export interface RegistryFixture {
  /** Opens it. Called again while it is open, it is another process's view. */
  open(): Promise<RegistryPort>;
  cleanup(): Promise<void>;
}

/** What every registry must do. Each test sets up its own. */
export function registryContract(name: string, setup: () => Promise<RegistryFixture>): void {
  describe(`${name}: the registry’s contract`, () => {
    let fixture: RegistryFixture;
    let opened: RegistryPort[];

    beforeEach(async () => {
      opened = [];
      fixture = await setup();
    });

    afterEach(async () => {
      await Promise.all(opened.map((registry) => registry.close()));
      await fixture.cleanup();
    });

    async function open(): Promise<RegistryPort> {
      const registry = await fixture.open();
      opened.push(registry);
      return registry;
    }

    function nameOf(registry: RegistryPort, id: string): string | undefined {
      return registry.current().get('sensor', `north/${id}`)?.name;
    }

    it('an edit is in force when it resolves, and whoever watches is told when it is', async () => {
      const registry = await open();
      await registry.apply([farm()], 'ada');
      const told: { change: Change; there: boolean }[] = [];
      registry.watch((changes) => {
        for (const change of changes)
          told.push({ change, there: registry.current().sensor('north', 's1') !== undefined });
      });
      await registry.apply([sensor('s1', { name: 'by the gate' })], 'ada');
      expect(nameOf(registry, 's1')).to.equal('by the gate');
      await registry.apply([removal(sensor('s1'))], 'ada');
      expect(
        told.map(({ change: { kind, id, before, after }, there }) => [
          kind,
          id,
          before !== undefined,
          after !== undefined,
          there,
        ]),
      ).to.deep.equal([
        ['sensor', 'north/s1', false, true, true],
        ['sensor', 'north/s1', true, false, false],
      ]);
    });

    it('sensors of one id are found as they are now: none that was removed, and none as it was', async () => {
      const registry = await open();
      const alike = () => registry.current().sensorsWithId('s1');
      await registry.apply([farm(), farm('south'), sensor('s1', { secret: '1'.repeat(64) })], 'ada');
      await registry.apply([sensor('s1', {}, 'south')], 'ada');
      await registry.apply([sensor('s1', { secret: '2'.repeat(64) })], 'ada');
      expect(alike().map(({ farm, secret }) => `${farm} ${secret?.[0]}`)).to.deep.equal(['north 2', 'south undefined']);
      await registry.apply([removal(sensor('s1'))], 'ada');
      expect(alike().map(({ farm }) => farm)).to.deep.equal(['south']);
      await registry.apply([sensor('s1')], 'ada');
      expect(alike().map(({ farm }) => farm)).to.deep.equal(['south', 'north']);
      await registry.apply([removal(sensor('s1')), removal(sensor('s1', {}, 'south'))], 'ada');
      expect(alike()).to.deep.equal([]);
    });

    it('nobody is told after the end of their watch', async () => {
      const registry = await open();
      let told = 0;
      const end = registry.watch(() => {
        told += 1;
      });
      await registry.apply([farm()], 'ada');
      end();
      await registry.apply([sensor('s1')], 'ada');
      expect(told).to.equal(1);
    });

    it('what was edited is there after a restart, and has the version that the editor was told', async () => {
      const first = await open();
      const { versions } = await first.apply(
        [
          farm(),
          field('hill'),
          sensor('s1', { field: 'hill', name: 'üñí "quoted": #1\n- two\\', interval: 61.5 }),
          user('ada'),
        ],
        'ada',
      );
      const before = [...first.current().sensors].map((one) => canonical('sensor', one));
      await first.close();
      const again = await open();
      expect([...again.current().sensors].map((one) => canonical('sensor', one))).to.deep.equal(before);
      const thing = again.current().get('sensor', 'north/s1');
      expect(thing && versionOf('sensor', 'north/s1', thing)).to.equal(versions[2]);
      expect(again.current().users.get('ada')?.farms).to.deep.equal({ north: 'viewer' });
    });

    it('an edit is made as a whole or not at all', async () => {
      const registry = await open();
      await registry.apply([farm()], 'ada');
      const told: unknown[] = [];
      registry.watch((changes) => told.push(changes));
      const wrong = [sensor('s1'), sensor('s2', { field: 'nowhere' }), sensor('s3')];
      const error = await rejection(registry.apply(wrong, 'ada'));
      expect(error).to.be.instanceOf(RegistryInvalid).with.nested.property('place.id', 'north/s2');
      expect(registry.current().sensorCount).to.equal(0);
      expect(told).to.deep.equal([]);
      await registry.close();
      expect((await open()).current().sensorCount).to.equal(0);
    });

    it('an edit of something else than its editor saw is refused, and says what changed', async () => {
      const registry = await open();
      const first = await registry.apply([farm(), sensor('s1')], 'ada');
      const seen = first.versions[1];
      const second = await registry.apply([{ ...sensor('s1', { name: 'one' }), seen }], 'ada');
      const error = await rejection(registry.apply([{ ...sensor('s1', { name: 'two' }), seen }, sensor('s2')], 'bob'));
      expect(error).to.be.instanceOf(RegistryConflict);
      expect(error).to.have.deep.property('conflicts', [
        { kind: 'sensor', id: 'north/s1', seen, now: second.versions[0] },
      ]);
      expect(nameOf(registry, 's1')).to.equal('one');
      expect(registry.current().sensorCount).to.equal(1);
    });

    it('an editor who saw nothing makes a thing only where there is none; one who does not say what they saw always does', async () => {
      const registry = await open();
      await registry.apply([farm(), { ...sensor('s1', { name: 'one' }), seen: null }], 'ada');
      const error = await rejection(registry.apply([{ ...sensor('s1', { name: 'two' }), seen: null }], 'bob'));
      expect(error).to.be.instanceOf(RegistryConflict);
      await registry.apply([sensor('s1', { name: 'three' })], 'bob');
      expect(nameOf(registry, 's1')).to.equal('three');
      const gone = await rejection(registry.apply([{ ...sensor('s2'), seen: '0123456789abcdef' }], 'bob'));
      expect(gone).to.be.instanceOf(RegistryConflict).with.nested.property('conflicts[0].now', null);
    });

    it('what others name is not removed; together with them it is', async () => {
      const registry = await open();
      const codec = { kind: 'codec', id: 'c.js', value: { id: 'c.js', text: 'x' } } as const;
      await registry.apply([farm(), codec, sensor('s1', { codec: 'c.js' })], 'ada');
      for (const named of [farm(), codec]) {
        expect(await rejection(registry.apply([removal(named)], 'ada'))).to.be.instanceOf(RegistryInvalid);
      }
      expect(registry.current().farms.has('north')).to.equal(true);
      expect(registry.current().codecs.has('c.js')).to.equal(true);
      await registry.apply([farm('south'), removal(farm()), removal(codec), removal(sensor('s1'))], 'ada');
      expect([...registry.current().farms.keys()]).to.deep.equal(['south']);
      expect(registry.current().sensorCount).to.equal(0);
    });

    it('two sensors can exchange their secrets in one edit', async () => {
      const registry = await open();
      await registry.apply([farm(), sensor('s1', { secret: hash(1) }), sensor('s2', { secret: hash(2) })], 'ada');
      const taken = await rejection(registry.apply([sensor('s3', { secret: hash(1) })], 'ada'));
      expect(taken).to.be.instanceOf(RegistryInvalid);
      // Another process that follows takes both changes at once, or it would see one secret twice between them.
      const other = await open();
      await registry.apply([sensor('s1', { secret: hash(2) }), sensor('s2', { secret: hash(1) })], 'ada');
      expect(registry.current().sensorsBySecret.get(hash(1))?.id).to.equal('s2');
      await until('the other to know it', () => other.current().sensorsBySecret.get(hash(2))?.id === 's1');
      expect(other.current().sensorsBySecret.get(hash(1))?.id).to.equal('s2');
      expect(other.state).to.deep.equal({ is: 'up' });
    });

    it('an edit that changes nothing resolves, tells nobody, and leaves no trace', async () => {
      const registry = await open();
      const { versions } = await registry.apply([farm(), sensor('s1')], 'ada');
      const newest = (await registry.changes(0, 1_000)).at(-1)?.seq ?? 0;
      let told = 0;
      registry.watch(() => {
        told += 1;
      });
      expect(await registry.apply([{ ...sensor('s1', { interval: 600 }), seen: versions[1] }], 'bob')).to.deep.equal({
        versions: [versions[1]],
      });
      expect(await registry.apply([], 'bob')).to.deep.equal({ versions: [] });
      expect(told).to.equal(0);
      expect(await registry.changes(newest, 1_000)).to.deep.equal([]);
    });

    it('an edit by one process comes into force in every other, which hears of it once, and of all of it at once', async () => {
      const [one, two] = [await open(), await open()];
      const told: (string | undefined)[] = [];
      await one.apply([farm(), sensor('s1', { name: 'first' })], 'ada');
      await until('the other to know the sensor', () => nameOf(two, 's1') === 'first');
      const sizes: number[] = [];
      two.watch((changes) => sizes.push(changes.length));
      two.watch((changes) => {
        for (const { kind, after } of changes)
          if (kind === 'sensor') told.push(after && 'name' in after ? after.name : undefined);
      });
      await one.apply([sensor('s1', { name: 'second' })], 'ada');
      await until('the other to know the change', () => nameOf(two, 's1') === 'second');
      await two.apply([sensor('s1', { name: 'third' })], 'bob');
      await until('the first to know the change', () => nameOf(one, 's1') === 'third');
      expect(told).to.deep.equal(['second', 'third']);
      await one.apply([sensor('s2'), sensor('s3'), sensor('s4')], 'ada');
      await until('the other to know them', () => two.current().sensorCount === 4);
      expect(sizes).to.deep.equal([1, 1, 3]);
    });

    it('a process that edits sees first what others have edited', async () => {
      const [one, two] = [await open(), await open()];
      const first = await one.apply([farm(), sensor('s1')], 'ada');
      // At once: the other has not looked yet.
      const error = await rejection(two.apply([{ ...sensor('s1', { name: 'two' }), seen: null }], 'bob'));
      expect(error).to.be.instanceOf(RegistryConflict).with.nested.property('conflicts[0].now', first.versions[1]);
      await two.apply([sensor('s2')], 'bob');
      expect(two.current().sensorCount).to.equal(2);
    });

    it('of a hundred edits at once by two processes none is lost', async () => {
      const [one, two] = [await open(), await open()];
      await one.apply([farm(), sensor('counter', { interval: 1 })], 'ada');
      await until('the other to know the farm', () => two.current().sensorCount === 1);
      // Each adds sensors of its own, and counts one up that both edit.
      const count = async (registry: RegistryPort): Promise<void> => {
        for (;;) {
          const now = registry.current().get('sensor', 'north/counter');
          if (!now) throw new Error('the counter is not there');
          const next = {
            ...sensor('counter', { interval: now.interval + 1 }),
            seen: versionOf('sensor', 'north/counter', now),
          };
          const error = await rejection(registry.apply([next], 'ada'));
          if (error === undefined) return;
          if (!(error instanceof RegistryConflict)) throw error;
        }
      };
      await Promise.all(
        range(0, 25).flatMap((number) => [
          one.apply([sensor(`one-${number}`)], 'ada'),
          two.apply([sensor(`two-${number}`)], 'bob'),
          count(one),
          count(two),
        ]),
      );
      for (const registry of [one, two, await open()]) {
        await until('all edits to be known', () => registry.current().get('sensor', 'north/counter')?.interval === 51);
        expect(registry.current().sensorCount).to.equal(51);
      }
    });

    it('changes are numbered one by one, and say who made what of what', async () => {
      const registry = await open();
      await registry.apply(farmOf(2), 'ada');
      const start = (await registry.changes(0, 1_000)).at(-1)?.seq ?? 0;
      const begun = Date.now();
      await registry.apply([sensor('s0', { name: 'one' })], 'bob');
      await registry.apply([removal(sensor('s1')), sensor('s2')], 'cy');
      const changes = await registry.changes(start, 1_000);
      expect(changes.map(({ seq }) => seq - start)).to.deep.equal([1, 2, 3]);
      expect(changes.map(({ who, kind, id }) => [who, kind, id])).to.deep.equal([
        ['bob', 'sensor', 'north/s0'],
        ['cy', 'sensor', 'north/s1'],
        ['cy', 'sensor', 'north/s2'],
      ]);
      expect(changes[0]?.before).to.include({ id: 's0' }).and.not.have.property('name');
      expect(changes[0]?.after).to.include({ id: 's0', name: 'one' });
      expect(changes[1]?.before).to.include({ id: 's1' });
      expect(changes[1]?.after).to.equal(undefined);
      for (const { when } of changes) expect(when).to.be.within(begun - 2_000, Date.now() + 2_000);
      expect((await registry.changes(start, 2)).map(({ seq }) => seq - start)).to.deep.equal([1, 2]);
      expect((await registry.changes(start + 2, 2)).map(({ seq }) => seq - start)).to.deep.equal([3]);
      expect(await registry.changes(start, 0)).to.deep.equal([]);
      const newest = async (before: number | undefined, limit: number) =>
        (await registry.newestChanges(before, limit)).map(({ seq }) => seq - start);
      expect(await newest(undefined, 2)).to.deep.equal([3, 2]);
      expect(await newest(start + 2, 1)).to.deep.equal([1]);
      expect(await newest(1, 10)).to.deep.equal([]);
      expect((await registry.newestChanges(undefined, 1))[0]).to.deep.equal(changes[2]);
    });

    it('it is up and well while it is open, and closed after that', async () => {
      const registry = await open();
      expect(registry.state).to.deep.equal({ is: 'up' });
      expect(registry.health().find(({ name: part }) => part === 'registry')).to.include({ ok: true });
      await registry.close();
      await registry.close();
      expect(registry.state.is).to.equal('closed');
      expect(await rejection(registry.apply([farm()], 'ada'))).to.be.instanceOf(Closed);
    });
  });
}
