/**
 * A number in [0, 1) for a seed and a place: always the same, and unlike the numbers of neighbouring places.
 * The models need random access, which a generator of a sequence does not offer: the value at a moment must not depend
 * on who asks for it, nor on the order of calls.
 */
export function noise(seed: number, place: number): number {
  let x = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(place | 0, 0xc2b2ae35);
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
}

/** Noise in [0, 1) that has a new value at every whole `at`, and changes smoothly between them. */
export function smoothNoise(seed: number, at: number): number {
  const place = Math.floor(at);
  const t = at - place;
  const weight = t * t * (3 - 2 * t);
  return noise(seed, place) * (1 - weight) + noise(seed, place + 1) * weight;
}
