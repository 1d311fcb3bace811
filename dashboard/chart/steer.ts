import type uPlot from 'uplot';

export interface Steering {
  /** The range of time was changed by hand: Unix ms. */
  readonly onRange: (from: number, to: number) => void;
}

/** A wheel's turn or a finger's rest this long ends the gesture. */
const REST_MS = 250;
/** Shorter selections are taken for clicks with an unsteady hand. */
export const LEAST_PX = 8;

/**
 * Moves the range of time by hand. Dragging with Shift or the middle button, and turning a wheel sideways, pans; the
 * wheel with Ctrl, or two fingers on a touch pad, zooms. The move is seen at once; `onRange` is called when it comes to
 * rest.
 */
export class Steer {
  readonly #plot: uPlot;
  readonly #steering: Steering;
  readonly #ended = new AbortController();
  #rest: ReturnType<typeof setTimeout> | undefined;
  #moving = false;

  constructor(plot: uPlot, steering: Steering) {
    this.#plot = plot;
    this.#steering = steering;
    const { signal } = this.#ended;
    plot.over.addEventListener('pointerdown', (event) => this.#pan(event), { signal });
    plot.over.addEventListener('wheel', (event) => this.#wheel(event), { signal, passive: false });
  }

  /** Whether a gesture is under way: the clock must not move the range meanwhile. */
  get busy(): boolean {
    return this.#moving || this.#rest !== undefined;
  }

  close(): void {
    this.#ended.abort();
    clearTimeout(this.#rest);
  }

  #pan(down: PointerEvent): void {
    if (!pans(down)) return;
    down.preventDefault();
    const { over } = this.#plot;
    const begin = this.#range();
    const perPx = (begin.to - begin.from) / Math.max(1, over.clientWidth);
    over.setPointerCapture(down.pointerId);
    this.#moving = true;
    const move = (event: PointerEvent) => {
      const by = (down.clientX - event.clientX) * perPx;
      this.#show(begin.from + by, begin.to + by);
    };
    const stop = (event: PointerEvent) => {
      over.removeEventListener('pointermove', move);
      this.#moving = false;
      if (Math.abs(event.clientX - down.clientX) >= LEAST_PX) this.#commit();
    };
    over.addEventListener('pointermove', move);
    over.addEventListener('pointerup', stop, { once: true });
    over.addEventListener('pointercancel', stop, { once: true });
  }

  #wheel(event: WheelEvent): void {
    const { from, to } = this.#range();
    const width = Math.max(1, this.#plot.over.clientWidth);
    if (event.ctrlKey) {
      const at = from + ((to - from) * event.offsetX) / width;
      const factor = Math.exp(event.deltaY / 300);
      this.#show(at - (at - from) * factor, at + (to - at) * factor);
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const by = (event.deltaX / width) * (to - from);
      this.#show(from + by, to + by);
    } else return;
    event.preventDefault();
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => this.#commit(), REST_MS);
  }

  #range(): { from: number; to: number } {
    const { min = 0, max = 1 } = this.#plot.scales.x ?? {};
    return { from: min, to: max };
  }

  #show(from: number, to: number): void {
    this.#plot.setScale('x', { min: from, max: to });
  }

  #commit(): void {
    clearTimeout(this.#rest);
    this.#rest = undefined;
    const { from, to } = this.#range();
    this.#steering.onRange(from, to);
  }
}

/** Whether a press begins a pan and not a selection. */
export function pans(event: MouseEvent): boolean {
  return event.button === 1 || (event.button === 0 && event.shiftKey);
}
