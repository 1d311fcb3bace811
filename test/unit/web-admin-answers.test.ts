import { expect } from 'chai';
import { Unexpected } from '../../client/shape-checks.ts';
import { readLetters } from '../../dashboard/api/letters.ts';
import { readSystem } from '../../dashboard/api/system.ts';
import { reasonInWords } from '../../dashboard/views/dead-letters/reasons.ts';
import { partInWords } from '../../dashboard/views/system/words.ts';
import { REASONS } from '../../telemetry/formats/decoded.ts';

const letter = {
  ...{ offset: 17, at: 1000, received: 900, sensor: 's1', topic: 'farms/n/sensors/s1/telemetry', reason: 'not_json' },
  ...{ explanation: 'payload: …', state: 'open', size: 23, payload: '{"soil', encoding: 'text', cut: false },
};
const counts = { open: 1, replayed: 0, discarded: 0 };

describe('web: dead letters', () => {
  it('are read with their page, counts and warning', () => {
    const log = { bytes: 1, maxBytes: 2, oldest: null, maxAgeMs: 3, warning: 'Soon trimmed.' };
    const page = readLetters({ letters: [letter], next: 12, counts, reasons: { not_json: 1 }, log });
    expect(page).to.deep.include({ next: 12, counts, warning: 'Soon trimmed.' });
    expect(page.letters[0]).to.include({ offset: 17, reason: 'not_json', settled: undefined });
  });

  it('tell who settled them', () => {
    const settled = { ...letter, state: 'replayed', settled: { at: 2000, by: 'ada' } };
    const page = readLetters({ letters: [settled], next: null, counts, reasons: {}, log: { warning: null } });
    expect(page.letters[0]?.settled).to.deep.equal({ at: 2000, by: 'ada' });
    expect([page.next, page.warning]).to.deep.equal([undefined, undefined]);
  });

  it('of another shape are refused', () => {
    expect(() => readLetters({ letters: [{ ...letter, state: 'lost' }], counts })).to.throw(Unexpected);
  });

  it('have a reason in words, each that the formats know', () => {
    for (const reason of REASONS)
      expect(reasonInWords(reason))
        .to.match(/^[A-Z]/)
        .and.not.include('_');
    expect(reasonInWords('never_heard_of')).to.equal('Never heard of');
  });
});

describe('web: the system', () => {
  it('is read with its parts and figures; a figure that is not known is left out', () => {
    const system = readSystem({
      version: '0.1.0',
      startedAt: 1000,
      parts: [
        { name: 'store', ok: false, why: 'away' },
        { name: 'disk', ok: false, optional: true, why: '82 % are in use' },
      ],
      figures: [
        { id: 'rate', label: 'Readings a second', value: 12.5, unit: '/s' },
        { id: 'lag', label: 'Lag', value: null, unit: 'ms' },
      ],
    });
    expect(system.parts).to.deep.equal([
      { name: 'store', ok: false, optional: false, why: 'away' },
      { name: 'disk', ok: false, optional: true, why: '82 % are in use' },
    ]);
    expect(system.figures).to.deep.equal([{ label: 'Readings a second', value: 12.5, unit: '/s' }]);
    expect(system.startedAt).to.equal(1000);
  });

  it('calls its parts by names that people know', () => {
    expect(partInWords('dead-letter log').name).to.equal('Dead letters');
    expect(partInWords('store').without).to.include('Nothing is lost');
    expect(partInWords('some-new_part').name).to.equal('Some new part');
  });
});
