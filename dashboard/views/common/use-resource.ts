import { type ReadonlySignal, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { ApiProblem } from '../../api/problem.ts';
import { untilDone } from '../../state/retry.ts';

export interface Resource<T> {
  readonly value: ReadonlySignal<T | undefined>;
  /** Why the last fetch brought nothing. */
  readonly problem: ReadonlySignal<ApiProblem | undefined>;
  /** Fetches again now. */
  readonly reload: () => void;
}

/** Data of the gateway, fetched at first, when `key` changes, and every `everyMs` while the page is visible. */
export function useResource<T>(key: string, load: (signal: AbortSignal) => Promise<T>, everyMs?: number): Resource<T> {
  const value = useSignal<T | undefined>(undefined);
  const problem = useSignal<ApiProblem | undefined>(undefined);
  const fetching = useRef(new AbortController());
  const reload = () => {
    fetching.current.abort();
    fetching.current = new AbortController();
    const { signal } = fetching.current;
    const work = async () => {
      const found = await load(signal);
      if (signal.aborted) return;
      value.value = found;
      problem.value = undefined;
    };
    const onProblem = (found: ApiProblem) => {
      problem.value = found;
    };
    void untilDone(work, { signal, onProblem });
  };
  useEffect(() => {
    value.value = undefined;
    reload();
    const timer =
      everyMs === undefined
        ? undefined
        : setInterval(() => document.visibilityState === 'visible' && reload(), everyMs);
    return () => {
      clearInterval(timer);
      fetching.current.abort();
    };
  }, [key]);
  return { value, problem, reload };
}
