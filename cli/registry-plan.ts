import { isDeepStrictEqual } from 'node:util';
import { differences } from '../telemetry/registry/file.ts';
import type { Edit, Registry } from '../telemetry/registry/registry.ts';
import { RegistryState } from '../telemetry/registry/state.ts';
import { KINDS, type NamedThing, type Thing } from '../telemetry/registry/things.ts';
import { versionIn } from './registry.ts';

/** What a server takes at once: things, and characters of their JSON. */
const MOST_EDITS = 20_000;
const MOST_LENGTH = 24 * 1024 ** 2;

/** What has to be edited so that the registry has what a file has. */
export interface RegistryPlan {
  /** What others name before what names it, and removals in the other direction. Each knows the version that it was made by. */
  readonly edits: readonly Edit[];
  /** One line for each edit, for people. It names keys, and never shows a value: that may be a secret. */
  readonly lines: readonly string[];
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
  /** How many things are there that the file does not have, and that stay. */
  readonly staying: number;
}

/** What would be edited. With `prune`, what the file does not have is removed. */
export function planOf(current: Registry, things: readonly NamedThing[], prune: boolean): RegistryPlan {
  const all = differences(current, things);
  // A codec need not be there for what names it, but cannot be removed before that.
  const order = ({ kind }: Edit) => (kind === 'codec' ? -1 : KINDS.indexOf(kind));
  const puts = all.filter(({ value }) => value !== null).sort((a, b) => order(a) - order(b));
  const removals = all.filter(({ value }) => value === null).sort((a, b) => order(b) - order(a));
  const edits = [...puts, ...(prune ? removals : [])].map((edit) => ({ ...edit, seen: versionIn(current, edit) }));
  const added = puts.filter(({ kind, id }) => current.get(kind, id) === undefined).length;
  return {
    edits,
    lines: edits.map((edit) => lineOf(edit, current.get(edit.kind, edit.id))),
    added,
    changed: puts.length - added,
    removed: prune ? removals.length : 0,
    staying: prune ? 0 : removals.length,
  };
}

/** Throws RegistryInvalid when the registry would be none after these edits. Nothing is changed by this. */
export function verifyPlan(current: Registry, { edits }: RegistryPlan): void {
  const copy = RegistryState.of([...current.things()].map(({ kind, id, thing }) => ({ kind, id, value: thing })));
  copy.check(edits);
}

/** The edits in parts that a server takes at once. */
export function* partsOf(current: Registry, edits: readonly Edit[]): Iterable<readonly Edit[]> {
  let part: Edit[] = [];
  let length = 0;
  for (const edit of edits) {
    const before = current.get(edit.kind, edit.id);
    const own = JSON.stringify(edit.value).length + (before === undefined ? 0 : JSON.stringify(before).length);
    if (part.length >= MOST_EDITS || (part.length > 0 && length + own > MOST_LENGTH)) {
      yield part;
      part = [];
      length = 0;
    }
    part.push(edit);
    length += own;
  }
  if (part.length > 0) yield part;
}

function lineOf({ kind, id, value }: Edit, before: Thing | undefined): string {
  if (value === null) return `- ${kind} ${id}`;
  if (before === undefined) return `+ ${kind} ${id}`;
  return `~ ${kind} ${id}: ${differentKeys(before, value).join(', ')}`;
}

function differentKeys(before: Thing, after: unknown): string[] {
  const was = new Map<string, unknown>(Object.entries(before));
  const is = new Map<string, unknown>(typeof after === 'object' && after !== null ? Object.entries(after) : []);
  return [...new Set([...was.keys(), ...is.keys()])].filter((key) => !isDeepStrictEqual(was.get(key), is.get(key)));
}
