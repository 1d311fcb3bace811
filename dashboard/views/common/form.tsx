import { useEffect, useState } from 'preact/hooks';
import { advice, asProblem } from '../../api/problem.ts';

interface Submission {
  readonly busy: boolean;
  /** What went wrong the last time, in words. */
  readonly failure: string | undefined;
  /** Seconds until the gateway looks at another attempt; they run down. */
  readonly wait: number;
  readonly submit: (event: Event) => void;
}

/** Runs `work` when a form is submitted, one run at a time; `refusal` is the text for wrong credentials. */
export function useSubmit(
  work: (form: FormData, element: HTMLFormElement) => Promise<void>,
  refusal: string,
): Submission {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string | undefined>(undefined);
  const [wait, setWait] = useState(0);
  useEffect(() => {
    if (wait === 0) return;
    const timer = setTimeout(() => setWait(wait - 1), 1000);
    return () => clearTimeout(timer);
  }, [wait]);
  const run = async (element: HTMLFormElement) => {
    setBusy(true);
    setFailure(undefined);
    setWait(0);
    try {
      await work(new FormData(element), element);
    } catch (error) {
      setFailure(inWords(error, refusal));
      setWait(waitOf(error));
    }
    setBusy(false);
  };
  const submit = (event: Event) => {
    event.preventDefault();
    if (!busy && wait === 0 && event.currentTarget instanceof HTMLFormElement) void run(event.currentTarget);
  };
  return { busy, failure: wait > 0 ? waiting(wait) : failure, wait, submit };
}

/** A field of a form as text. */
export function entered(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === 'string' ? value : '';
}

export function inWords(error: unknown, refusal = ''): string {
  const problem = asProblem(error);
  if (problem.code === 'wrong-credentials') return refusal;
  if (problem.code === 'too-many-attempts') return 'You can try again now.';
  return advice(problem);
}

function waitOf(error: unknown): number {
  const { code, retryAfter = 60 } = asProblem(error);
  return code === 'too-many-attempts' ? Math.ceil(retryAfter) : 0;
}

function waiting(seconds: number): string {
  const time = seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `Too many wrong attempts, by you or by somebody else. Wait ${time}, then try again. A browser in which you signed in before is not held up by others.`;
}
