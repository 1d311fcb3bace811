import { expect } from 'chai';
import { isMarked, STROKES } from '../../dashboard/chart/strokes.ts';
import { wordingOf } from '../../dashboard/format/words.ts';

describe('web: lines in a chart', () => {
  it('differ without their colours, each from every other, by dashes and by marks', () => {
    expect(STROKES).to.have.length(8);
    expect(new Set(STROKES.map(({ dash }) => dash.join())).size).to.equal(8);
    expect(new Set(STROKES.map(({ mark }) => mark.join())).size).to.equal(8);
  });

  it('have a few marks each on a chart of a phone and of a wall, and never two lines’ at one place', () => {
    for (const width of [330, 3_000]) {
      const places = STROKES.map((_, i) => {
        const marked: number[] = [];
        for (let x = 0; x < width; x++) if (isMarked(x, marked.at(-1), i)) marked.push(x);
        return marked;
      });
      for (const marked of places) expect(marked.length, `${width}`).to.be.within(2, width / 100);
      expect(new Set(places.flat()).size).to.equal(places.flat().length);
    }
  });
});

describe('web: signs', () => {
  it('of what is no water are no drops', () => {
    const drops = ['dry', 'wet'];
    for (const metric of ['air_temperature', 'battery', 'rssi', 'ec', 'wind_speed'])
      for (const level of ['low', 'high'] as const) expect(drops, metric).not.to.include(wordingOf(metric, level).tone);
    expect(wordingOf('soil_moisture', 'low').tone).to.equal('dry');
    expect(wordingOf('soil_water_potential', 'low').tone).to.equal('dry');
    expect(wordingOf('soil_tension', 'high')).to.deep.equal({ words: 'Too dry', tone: 'dry' });
  });
});
