/** What is kept free on a file system: so many bytes, or such a share of its size. */
export type Reserve = { readonly bytes: number } | { readonly share: number };

/** 2 %, which is what LOAM_DISK_RESERVE is when it is not set. */
export const USUAL_RESERVE: Reserve = { share: 0.02 };

/**
 * A share is at least LEAST, so that a program that writes fast does not take all of it between two looks; but on a
 * small file system a share is at most SMALL_PART of it, and a size at most HALF: otherwise nothing could be kept there.
 */
const LEAST = 64e6;
const SMALL_PART = 1 / 8;
const HALF = 1 / 2;

/** The reserve in bytes on a file system of `total` bytes. */
export function reserveOf(reserve: Reserve, total: number): number {
  if ('bytes' in reserve) return Math.min(reserve.bytes, total * HALF);
  return Math.max(total * reserve.share, Math.min(LEAST, total * SMALL_PART));
}

/** When so much of a file system is in use, in %, it is said: there is time to do something before sensors have to wait. */
const LEVELS = [95, 90, 80] as const;
/** A level that was reached ends only when the use is so many points below it. */
const CALM_POINTS = 1;

/** The highest level that a use, from 0 to 1, has reached, when `before` was the last; 0 below all of them. */
export function levelOf(use: number, before: number): number {
  return LEVELS.find((level) => use * 100 >= (level <= before ? level - CALM_POINTS : level)) ?? 0;
}
