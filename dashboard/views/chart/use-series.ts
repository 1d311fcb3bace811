import { type ReadonlySignal, useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { type HistorySubject, type OpenSeries, openSeries } from '../../state/history.ts';

/** While the new series loads, the old one stays at most this long: it must not pass for the new one. */
const PATIENCE_MS = 700;

/**
 * Keeps a series open for each subject. When the subjects change, the old ones stay until the first of the new has come:
 * a chart that is zoomed does not go blank in between.
 */
export function useSeries(subjects: readonly HistorySubject[]): ReadonlySignal<readonly OpenSeries[]> {
  const shown = useSignal<readonly OpenSeries[]>([]);
  const key = JSON.stringify(subjects);
  useEffect(() => {
    const opened = subjects.map(openSeries);
    let swapped = false;
    const swap = () => {
      if (swapped) return;
      swapped = true;
      for (const old of shown.peek()) old.close();
      shown.value = opened;
    };
    if (shown.peek().length === 0) swap();
    const timer = setTimeout(swap, PATIENCE_MS);
    const endWait = opened[0]?.version.subscribe((version) => {
      if (version > 0) swap();
    });
    return () => {
      clearTimeout(timer);
      endWait?.();
      if (!swapped) for (const one of opened) one.close();
    };
  }, [key]);
  useEffect(
    () => () => {
      for (const one of shown.peek()) one.close();
    },
    [],
  );
  return shown;
}
