import { endAll } from './cleanup.ts';

/** What a line begins with that tells `test/run.ts` which test, or hook, begins now. */
export const BEGINS = '\u0002begins ';

/** How long the process may go on when everything was ended. */
const LEFTOVERS_MS = 30_000;

/**
 * Mocha's root hooks. When the last test has ended, everything that was brought up is ended, the youngest first; what keeps the process alive
 * after that is a fault of some test, and is named.
 */
export const mochaHooks = {
  beforeEach(this: Mocha.Context): void {
    if (process.env.LOAM_TEST_BEGINS) console.log(`${BEGINS}${this.currentTest?.fullTitle()}`);
  },
  async afterAll(this: Mocha.Context): Promise<void> {
    this.timeout(120_000);
    await endAll();
    setTimeout(endOfPatience, LEFTOVERS_MS).unref();
  },
};

function endOfPatience(): void {
  console.error(
    `The tests have ended, but something keeps the process alive: ${process.getActiveResourcesInfo().join(', ')}`,
  );
  process.exit(1);
}
