import { type ReadonlySignal, type Signal, signal } from '@preact/signals';

/** One signal per key, made when it is first asked for. Setting the same value again notifies nobody. */
export class Board<T> {
  readonly #signals = new Map<string, Signal<T>>();
  readonly #empty: T;
  readonly #same: (a: T, b: T) => boolean;

  constructor(empty: T, same: (a: T, b: T) => boolean = Object.is) {
    this.#empty = empty;
    this.#same = same;
  }

  get(key: string): ReadonlySignal<T> {
    return this.#signal(key);
  }

  set(key: string, value: T): void {
    const kept = this.#signal(key);
    if (!this.#same(kept.peek(), value)) kept.value = value;
  }

  /** Keys that are not among `values` fall back to the empty value. */
  setAll(values: ReadonlyMap<string, T>): void {
    for (const [key, value] of values) this.set(key, value);
    for (const key of this.#signals.keys()) if (!values.has(key)) this.set(key, this.#empty);
  }

  /** Forgets everything: for when the keys mean something else. */
  clear(): void {
    this.#signals.clear();
  }

  #signal(key: string): Signal<T> {
    const known = this.#signals.get(key);
    if (known) return known;
    const made = signal(this.#empty);
    this.#signals.set(key, made);
    return made;
  }
}
