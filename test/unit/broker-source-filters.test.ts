import { expect } from 'chai';
import fc from 'fast-check';
import { leastFilters, overlapping } from '../../broker/sources/filters.ts';

const level = fc.constantFrom('a', 'b', '+', '$x', '');
const filter = fc
  .tuple(fc.array(level, { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([levels, isOpen]) => [...levels, ...(isOpen ? ['#'] : [])].join('/'));
const TOPICS = topicsOf(4);

function topicsOf(depth: number): string[] {
  const names = ['a', 'b', '$x', ''];
  let last = names;
  const all = [...names];
  for (let i = 1; i < depth; i++) {
    last = last.flatMap((topic) => names.map((name) => `${topic}/${name}`));
    all.push(...last);
  }
  return all;
}

/** MQTT 3.1.1, 4.7, word by word. */
function matches(pattern: string, topic: string): boolean {
  if (topic.startsWith('$') && /^[+#]/.test(pattern)) return false;
  const [a, b] = [pattern.split('/'), topic.split('/')];
  if (a.at(-1) === '#') {
    const before = a.slice(0, -1);
    return b.length >= before.length && before.every((one, i) => one === '+' || one === b[i]);
  }
  return a.length === b.length && a.every((one, i) => one === '+' || one === b[i]);
}

describe('the filters of a source', () => {
  it('that are subscribed match what all of them match, and none covers another', () => {
    expect(leastFilters(['x/#', 'x', 'x/+/y', 'x/#', 'z'])).to.deep.equal(['x/#', 'z']);
    fc.assert(
      fc.property(fc.array(filter, { minLength: 1, maxLength: 5 }), (topics) => {
        const least = leastFilters(topics);
        for (const topic of TOPICS) {
          const wanted = topics.some((one) => matches(one, topic));
          expect(
            least.some((one) => matches(one, topic)),
            topic,
          ).to.equal(wanted);
        }
        for (const one of least) {
          for (const other of least.filter((it) => it !== one)) {
            const only = TOPICS.some((topic) => matches(other, topic) && !matches(one, topic));
            expect(only, `${one} covers ${other}`).to.equal(true);
          }
        }
      }),
    );
  });

  it('that overlap are told', () => {
    fc.assert(
      fc.property(filter, filter, (one, other) => {
        const both = TOPICS.some((topic) => matches(one, topic) && matches(other, topic));
        expect(overlapping([one, other]) !== undefined).to.equal(both);
      }),
    );
  });
});
