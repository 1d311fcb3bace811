import { flag, list, listOf, optional, record, text } from '../../client/shape-checks.ts';
import { call, callAnyway } from './http.ts';
import { ApiProblem } from './problem.ts';

/** Whether one part that the gateway depends on answers. */
export interface Dependency {
  readonly name: string;
  readonly ok: boolean;
  /** Work goes on when it is not ok. */
  readonly optional: boolean;
  readonly why: string | undefined;
}

/** A figure with a label that is shown as it is. */
export interface ShownFigure {
  readonly label: string;
  readonly value: number | string;
  readonly unit: string;
}

export interface System {
  readonly version: string | undefined;
  /** Unix ms. */
  readonly startedAt: number | undefined;
  readonly parts: readonly Dependency[];
  readonly figures: readonly ShownFigure[];
}

/** How the gateway and what it depends on are. A gateway without figures still says which parts are ready. */
export async function getSystem(signal: AbortSignal): Promise<System> {
  try {
    return readSystem(await call('/api/system', { signal }));
  } catch (error) {
    if (!(error instanceof ApiProblem && error.status === 404)) throw error;
    const { checks } = record(await callAnyway('/readyz', signal), 'readyz');
    return { version: undefined, startedAt: undefined, parts: listOf(checks, 'checks', readPart), figures: [] };
  }
}

export function readSystem(value: unknown): System {
  const system = record(value, 'system');
  return {
    version: optional(system.version, 'version', text),
    startedAt: optional(system.startedAt, 'startedAt', moment),
    parts: listOf(system.parts, 'parts', readPart),
    figures: list(system.figures ?? [], 'figures').flatMap((f, i) => readFigure(f, `figures[${i}]`) ?? []),
  };
}

function readPart(value: unknown, path: string): Dependency {
  const part = record(value, path);
  return {
    name: text(part.name, `${path}.name`),
    ok: flag(part.ok, `${path}.ok`),
    optional: optional(part.optional, `${path}.optional`, flag) ?? false,
    why: optional(part.why, `${path}.why`, text),
  };
}

/** A figure that is not known is left out. */
function readFigure(value: unknown, path: string): ShownFigure | undefined {
  const figure = record(value, path);
  const label = text(figure.label, `${path}.label`);
  const unit = optional(figure.unit, `${path}.unit`, text) ?? '';
  const given = figure.value;
  return typeof given === 'number' || typeof given === 'string' ? { label, value: given, unit } : undefined;
}

/** Unix ms, whether told so or as ISO 8601. */
function moment(value: unknown): number {
  return typeof value === 'string' ? Date.parse(value) : Number(value);
}
