/** `npm run test:long` does the tests whose length is a choice in their long form, `npm test` in a shorter one. */
export const IS_LONG = process.env.LOAM_TEST_LONG === '1';

/** `short` in `npm test`, `long` in `npm run test:long`: how often something is done, or what it is done with. */
export function shortOrLong<T>(short: T, long: T): T {
  return IS_LONG ? long : short;
}
