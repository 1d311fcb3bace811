import { useState } from 'preact/hooks';
import { advice, asProblem } from '../../api/problem.ts';

interface Submission {
  readonly busy: boolean;
  /** What went wrong the last time, in words. */
  readonly failure: string | undefined;
  readonly submit: (event: Event) => void;
}

/** Runs `work` when a form is submitted, one run at a time; `refusal` is the text for wrong credentials. */
export function useSubmit(
  work: (form: FormData, element: HTMLFormElement) => Promise<void>,
  refusal: string,
): Submission {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string | undefined>(undefined);
  const run = async (element: HTMLFormElement) => {
    setBusy(true);
    setFailure(undefined);
    try {
      await work(new FormData(element), element);
    } catch (error) {
      setFailure(inWords(error, refusal));
    }
    setBusy(false);
  };
  const submit = (event: Event) => {
    event.preventDefault();
    if (!busy && event.currentTarget instanceof HTMLFormElement) void run(event.currentTarget);
  };
  return { busy, failure, submit };
}

/** A field of a form as text. */
export function entered(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === 'string' ? value : '';
}

export function inWords(error: unknown, refusal = ''): string {
  const problem = asProblem(error);
  if (problem.code === 'wrong-credentials') return refusal;
  if (problem.code === 'too-many-attempts') {
    const wait = problem.retryAfter === undefined ? 'a while' : `${Math.ceil(problem.retryAfter)} seconds`;
    return `Too many wrong attempts. Wait ${wait}, then try again.`;
  }
  return advice(problem);
}
