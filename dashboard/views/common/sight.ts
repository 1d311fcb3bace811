import { type ReadonlySignal, signal, useComputed, useSignal } from '@preact/signals';
import { createContext, type RefObject } from 'preact';
import { useEffect, useMemo } from 'preact/hooks';
import { BEATS_A_SECOND, beat } from '../../state/device.ts';

/** How often what is out of sight is drawn again, in beats: a search in the page and a print must find it fresh enough. */
const EVERY = 10 * BEATS_A_SECOND;

/** Undefined in sight. Out of sight a number that changes when it is time to draw again. */
export type Sight = ReadonlySignal<number | undefined>;

/** The sight of the part of the page that a component is in. */
export const SightContext = createContext<Sight>(signal(undefined));

/** Watches whether `host` is in sight, or about to be. Those that are not are drawn in turn, so that a long page costs what its screen costs. */
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

/** What `source` says. Who calls it in a render is drawn again with each change when in sight, now and then when not. */
export function seen<T>(sight: Sight, source: ReadonlySignal<T>): T {
  return sight.value === undefined ? source.value : source.peek();
}
