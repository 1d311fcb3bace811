import { expect } from 'chai';
import { descriptorLimit, openDescriptors, planDescriptors } from '../../core/descriptors.ts';

describe('descriptors', () => {
  it('are divided: MQTT gets what it wants, up to three quarters of what the process itself leaves', () => {
    expect(planDescriptors(1_048_576, 24_096)).to.include({ mqtt: 24_096, http: 1_048_576 - 24_096 - 256 });
    expect(planDescriptors(1_024, 24_096)).to.include({ mqtt: 576, http: 192 });
    expect(planDescriptors(1_024, 0)).to.include({ mqtt: 0, http: 768 });
    expect(planDescriptors(64, 24_096)).to.include({ mqtt: 36, http: 12 });
  });

  it('are counted where Linux tells', function () {
    if (process.platform !== 'linux') return this.skip();
    expect(descriptorLimit()).to.be.greaterThan(0);
    expect(openDescriptors()).to.be.within(3, descriptorLimit() ?? 0);
  });
});
