/** A call to the gateway that failed. `status` is 0 and `code` is `unreachable` when no answer came at all. */
export class ApiProblem extends Error {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  /** Seconds that the gateway asks to wait. */
  readonly retryAfter: number | undefined;

  constructor(problem: { status: number; code: string; title: string; detail?: string; retryAfter?: number }) {
    super(problem.detail || problem.title);
    this.name = 'ApiProblem';
    this.status = problem.status;
    this.code = problem.code;
    this.title = problem.title;
    this.retryAfter = problem.retryAfter;
  }

  /** Whether the same call may work later without anybody changing anything. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Whatever was thrown, as an ApiProblem: any other error is an answer that this version does not understand. */
export function asProblem(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error;
  const detail = error instanceof Error ? error.message : String(error);
  return new ApiProblem({ status: 502, code: 'unexpected-answer', title: 'The answer was not understood', detail });
}

/** What went wrong and what to do about it, for the person in front of the screen. */
export function advice(problem: ApiProblem): string {
  switch (problem.code) {
    case 'unreachable':
      return 'Loam can’t be reached. Check that this device has a network and that Loam is running.';
    case 'store-unavailable':
      return 'History can’t be read right now: the store does not answer. New values still arrive.';
    case 'busy':
      return 'Loam is busy right now.';
    case 'forbidden':
      return 'You have no access to this farm. Ask its administrator.';
    case 'not-signed-in':
      return 'Your session has ended. Please sign in again.';
    case 'unexpected-answer':
      return `Loam’s answer was not understood (${problem.message}). Reload this page; if that does not help, restart Loam.`;
    default:
      return problem.message;
  }
}
