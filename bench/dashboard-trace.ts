export interface Tasks {
  readonly longestMs: number;
  /** How many held the main thread for more than 50 ms: a frame was late for each. */
  readonly over50: number;
  readonly count: number;
}

/** The tasks on the page's main thread in a trace of Chromium's (its JSON text). A page that traced nothing is an error, not a good page. */
export function longestTasks(trace: string): Tasks {
  const { traceEvents }: { traceEvents: readonly TraceEvent[] } = JSON.parse(trace);
  const mains = new Set(
    traceEvents
      .filter((e) => e.name === 'thread_name' && e.args?.name === 'CrRendererMain')
      .map((e) => `${e.pid} ${e.tid}`),
  );
  let [longest, over50, count] = [0, 0, 0];
  for (const { name, ph, dur = 0, pid, tid } of traceEvents) {
    if (name !== 'RunTask' && name !== 'ThreadControllerImpl::RunTask') continue;
    if (ph !== 'X' || !mains.has(`${pid} ${tid}`)) continue;
    count++;
    longest = Math.max(longest, dur);
    if (dur > 50_000) over50++;
  }
  if (count === 0) throw new Error('the trace holds no task of the page');
  return { longestMs: longest / 1000, over50, count };
}

interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  /** Microseconds. */
  readonly dur?: number;
  readonly pid: number;
  readonly tid: number;
  readonly args?: { readonly name?: string };
}
