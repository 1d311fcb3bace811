import { expect } from 'chai';
import { EncodingInvalid } from '../../core/errors.ts';
import { packr } from '../../telemetry/batch.ts';
import { decodeEvent, encodeEvent } from '../../telemetry/event.ts';
import { ACT_KINDS, cut, MOST_NAME, MOST_NOTED, type Noted, REFUSAL_KINDS } from '../../telemetry/noted.ts';
import { REFUSAL_REASONS } from '../../telemetry/refusal-words.ts';
import { code, projectFile, tableRows } from './house-table.ts';

const REFUSED: Noted = {
  kind: 'mqtt_refused',
  id: 'a',
  at: 1_764_000_000_000,
  who: 'north/p7',
  from: '10.0.0.7',
  farm: 'north',
  sensor: 'p7',
  why: 'wrong_password',
  what: '',
  count: 12,
};

describe('what somebody did or was refused', () => {
  it('comes back from its bytes as it was, of every kind', () => {
    for (const kind of [...ACT_KINDS, ...REFUSAL_KINDS])
      expect(decodeEvent(encodeEvent({ ...REFUSED, kind }))).to.deep.equal({ ...REFUSED, kind });
  });

  it('is refused where a cell is wrong', () => {
    const row: unknown[] = packr.unpack(encodeEvent(REFUSED));
    for (const place of row.keys()) {
      if (place < 2) continue;
      const bytes = packr.pack(row.map((cell, i) => (i === place ? [] : cell)));
      expect(() => decodeEvent(bytes), String(place)).to.throw(EncodingInvalid);
    }
  });

  it('has texts that are cut where they are too long, and between characters', () => {
    const long = decodeEvent(encodeEvent({ ...REFUSED, who: 'x'.repeat(10_000), what: '🌱'.repeat(10_000) }));
    expect(long).to.have.property('who').with.lengthOf(MOST_NAME);
    expect(long).to.have.property('what').with.property('length').at.most(MOST_NOTED);
    expect(cut('a🌱b', 3)).to.equal('a…');
  });

  it('has no reason that docs/operations.md does not explain, and none is there in vain', async () => {
    const rows = tableRows(await projectFile('docs/operations.md'), '`why`');
    expect(rows.map(([why]) => code(why))).to.have.members([...REFUSAL_REASONS]);
  });
});
