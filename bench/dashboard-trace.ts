/** A task on the page's main thread. */
export interface Task {
  readonly ms: number;
  /** What of it the processor spent on it: in the rest the thread was not given a core. */
  readonly cpuMs: number;
  /** What took most of it, as Chromium calls it: `FunctionCall`, `Layout`, `Paint`, `MajorGC` … */
  readonly mostly: string;
}

/** A task of more than this makes a frame late, ms. */
export const LONG_MS = 50;
/** Of each trace; of more long ones all. */
const KEPT = 10;

/** The longest tasks on the page's main thread in a trace of Chromium's (its JSON text), longest first. A page that traced nothing is an error, not a good page. */
export function longestTasks(trace: string): Task[] {
  const { traceEvents }: { traceEvents: readonly TraceEvent[] } = JSON.parse(trace);
  const mains = new Set(traceEvents.filter(isMainThread).map(threadOf));
  const ofPage = traceEvents.filter((event) => event.ph === 'X' && mains.has(threadOf(event)));
  const tasks = ofPage.filter(isTask).sort((a, b) => (b.dur ?? 0) - (a.dur ?? 0));
  if (tasks.length === 0) throw new Error('the trace holds no task of the page');
  const parts = ofPage.filter((event) => !isTask(event));
  const long = tasks.filter(({ dur = 0 }) => dur > LONG_MS * 1000).length;
  return tasks.slice(0, Math.max(KEPT, long)).map((task) => ({
    ms: (task.dur ?? 0) / 1000,
    cpuMs: (task.tdur ?? 0) / 1000,
    mostly: parts.filter((part) => isWithin(part, task)).reduce(longer, { ...task, name: '', dur: 0 }).name,
  }));
}

function isMainThread({ name, args }: TraceEvent): boolean {
  return name === 'thread_name' && args?.name === 'CrRendererMain';
}

function threadOf({ pid, tid }: TraceEvent): string {
  return `${pid} ${tid}`;
}

function isTask({ name }: TraceEvent): boolean {
  return name === 'RunTask' || name === 'ThreadControllerImpl::RunTask';
}

function isWithin({ ts, pid }: TraceEvent, task: TraceEvent): boolean {
  return pid === task.pid && ts >= task.ts && ts < task.ts + (task.dur ?? 0);
}

function longer(a: TraceEvent, b: TraceEvent): TraceEvent {
  return (b.dur ?? 0) > (a.dur ?? 0) ? b : a;
}

interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  /** Microseconds, as the next two. */
  readonly ts: number;
  readonly dur?: number;
  /** Of the processor. */
  readonly tdur?: number;
  readonly pid: number;
  readonly tid: number;
  readonly args?: { readonly name?: string };
}
