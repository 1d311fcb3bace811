import { endAll } from './cleanup.ts';

/** Mocha's root hooks: when the last test has ended, everything that was brought up is ended, the youngest first. */
export const mochaHooks = {
  async afterAll(this: Mocha.Context): Promise<void> {
    this.timeout(120_000);
    await endAll();
  },
};
