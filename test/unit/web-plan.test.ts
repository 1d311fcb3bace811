import { expect } from 'chai';
import fc from 'fast-check';
import { misplacedOf, type PlacedThing } from '../../dashboard/plan/misplaced.ts';
import type { GroundCorner } from '../../dashboard/plan/project.ts';

const HOME = [52.1, 11.2] as const;
/** So many sensors within a few hundred metres. */
const farm = (count: number, [latitude, longitude]: GroundCorner = HOME): PlacedThing[] =>
  Array.from({ length: count }, (_, i) => ({
    id: `s${i}`,
    at: [latitude + (i % 4) * 0.0002, longitude + Math.floor(i / 4) * 0.0002] as const,
  }));
const told = (things: readonly PlacedThing[]) => misplacedOf(things).map(({ id }) => id);

describe('web: a position that cannot be right', () => {
  const wrong: Record<string, GroundCorner> = {
    'at 0,0': [0, 0],
    swapped: [HOME[1], HOME[0]],
    'on the other side of the globe': [-HOME[0], HOME[1] - 180],
    'with a wrong digit': [HOME[0], HOME[1] + 1],
    'with a wrong digit behind the point': [HOME[0] + 0.1, HOME[1]],
    'with a wrong sign': [HOME[0], -HOME[1]],
  };
  for (const [how, at] of Object.entries(wrong)) {
    it(`is told, and how far it is from the others: ${how}`, () => {
      for (const count of [2, 3, 5, 12, 200]) {
        for (const place of [0, 1, count]) {
          const things = farm(count);
          things.splice(place, 0, { id: 'wrong', at });
          expect(told(things), `${count} ${place}`).to.deep.equal(['wrong']);
        }
      }
      expect(misplacedOf([...farm(5), { id: 'wrong', at }])[0]?.metres).to.be.above(11_000);
    });
  }

  it('is every one that was never set, however many those are', () => {
    const unset = Array.from({ length: 40 }, (_, i): PlacedThing => ({ id: `u${i}`, at: [0, 0] }));
    expect(told([...unset, ...farm(3)])).to.have.length(40);
    expect(told(unset)).to.deep.equal([]);
  });

  it('of two alone is the later one, or the one at 0,0, and only where no farm is so wide', () => {
    const one: PlacedThing = { id: 'one', at: HOME };
    expect(told([one, { id: 'two', at: [11.2, 52.1] }])).to.deep.equal(['two']);
    expect(told([{ id: 'two', at: [0, 0] }, one])).to.deep.equal(['two']);
    expect(told([one, { id: 'two', at: [52.6, 11.2] }])).to.deep.equal([]);
    expect(told([one])).to.deep.equal([]);
    expect(told([])).to.deep.equal([]);
  });

  it('is none of a second site, of a wide farm, or of one across the 180th meridian', () => {
    expect(told([...farm(12), ...farm(8, [52.9, 11.9])])).to.deep.equal([]);
    const wide = Array.from({ length: 9 }, (_, i): PlacedThing => ({ id: `w${i}`, at: [50 + i * 0.1, 11] }));
    expect(told(wide)).to.deep.equal([]);
    expect(
      told(farm(12, [-17, 179.999]).map(({ id, at: [a, b] }) => ({ id, at: [a, b > 180 ? b - 360 : b] }))),
    ).to.deep.equal([]);
  });

  it('is told wherever the farm is, and takes nothing else off the plan', () => {
    fc.assert(
      fc.property(
        fc.double({ min: -60, max: 60, noNaN: true }).filter((at) => Math.abs(at) > 1),
        fc.double({ min: -179, max: 179, noNaN: true }).filter((at) => Math.abs(at) > 1),
        fc.integer({ min: 3, max: 60 }),
        (latitude, longitude, count) => {
          expect(told([...farm(count, [latitude, longitude]), { id: 'wrong', at: [0, 0] }])).to.deep.equal(['wrong']);
        },
      ),
      { numRuns: 50 },
    );
  });
});
