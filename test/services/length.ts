/** `npm run test:long` does the tests whose length is a choice in their long form, `npm test` in a shorter one. */
const IS_LONG = process.env.LOAM_TEST_LONG === '1';

/** `short` in `npm test`, `long` in `npm run test:long`: how often something is done, or what it is done with. */
export function shortOrLong<T>(short: T, long: T): T {
  return IS_LONG ? long : short;
}

/** Every one of `all` in the long form; in the short one the first, the last, and each `nth` between. */
export function someOf<T>(all: readonly T[], nth: number): readonly T[] {
  return all.filter((_, i) => IS_LONG || i % nth === 0 || i === all.length - 1);
}

/** A test that is there in the long form only: others try most of the same. */
export function itIfLong(rule: string, test: Mocha.AsyncFunc): void {
  if (IS_LONG) it(rule, test);
}
