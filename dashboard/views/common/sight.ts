import { type ReadonlySignal, signal, useComputed, useSignal } from '@preact/signals';
import { createContext, type RefObject } from 'preact';
import { useEffect, useMemo } from 'preact/hooks';
import { BEATS_A_SECOND, beat } from '../../state/device.ts';

/** How often parts out of sight are redrawn, in beats: a search in the page and a print need them fresh enough. */
const EVERY = 10 * BEATS_A_SECOND;

/** Undefined while the part is in sight. Out of sight, a number that changes when the part is to be drawn again. */
export type Sight = ReadonlySignal<number | undefined>;

/** The sight of the part of the page that a component is in. */
export const SightContext = createContext<Sight>(signal(undefined));

/**
 * Watches whether `host` is in sight, or about to be. Parts out of sight are drawn by turns and seldom, so that a long
 * page costs no more than what is on screen.
 */
export function useSight(host: RefObject<Element | null>): Sight {
  const near = useSignal(true);
  const turn = useMemo(() => Math.random(), []);
  useEffect(() => {
    const watch = new IntersectionObserver(
      (entries) => {
        near.value = entries.at(-1)?.isIntersecting ?? true;
      },
      { rootMargin: '50%' },
    );
    if (host.current) watch.observe(host.current);
    return () => watch.disconnect();
  }, []);
  return useComputed(() => (near.value ? undefined : Math.floor(beat.value / EVERY + turn)));
}

/**
 * The value of `source`. A component that calls this in a render is drawn again at each change while it is in sight,
 * and from time to time while it is not.
 */
export function seen<T>(sight: Sight, source: ReadonlySignal<T>): T {
  return sight.value === undefined ? source.value : source.peek();
}
