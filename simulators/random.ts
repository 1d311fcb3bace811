/**
 * A number in [0, 1) for a seed and a place: the same for ever, and unlike that of the place beside it.
 * Random access is what the models need and what no generator that walks through a sequence offers:
 * the value at any moment must be the same whoever asks for it and in whatever order.
 */
export function noise(seed: number, place: number): number {
  let x = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(place | 0, 0xc2b2ae35);
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
}

/** Noise that runs smoothly through a new value at every whole `at`; in [0, 1). */
export function smoothNoise(seed: number, at: number): number {
  const place = Math.floor(at);
  const t = at - place;
  const weight = t * t * (3 - 2 * t);
  return noise(seed, place) * (1 - weight) + noise(seed, place + 1) * weight;
}
