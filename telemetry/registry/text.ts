import { isDeepStrictEqual } from 'node:util';
import { Scalar, stringify } from 'yaml';
import type { z } from 'zod';
import { LISTS } from './file.ts';
import { KINDS, type Kind, type NamedThing, THING_SCHEMAS, type Thing } from './things.ts';

/** A registry as the text of a YAML file. */

/** The keys of each kind's schema in their order, and the value that each has when it is left out, if any. */
const KEYS: ReadonlyMap<Kind, ReadonlyMap<string, unknown>> = new Map(
  KINDS.map((kind) => [
    kind,
    new Map(Object.entries<z.ZodType>(THING_SCHEMAS[kind].shape).map(([key, schema]) => [key, usual(schema)])),
  ]),
);

/**
 * A thing as people write it: its keys in the order of its schema, those of what is in it in the order of the alphabet,
 * and without those that it would have anyway.
 */
export function shortForm(kind: Kind, thing: Thing): Readonly<Record<string, unknown>> {
  const values = new Map<string, unknown>(Object.entries(thing));
  const short: Record<string, unknown> = {};
  for (const [key, usually] of KEYS.get(kind) ?? []) {
    const value = values.get(key);
    if (value !== undefined && !isDeepStrictEqual(value, usually)) short[key] = inOrder(value);
  }
  return short;
}

/**
 * The text of a registry with these things, a line a thing. It depends on them alone: kinds in the order of `KINDS`, and
 * of a kind by id.
 */
export function registryText(things: Iterable<NamedThing>): string {
  const byKind = new Map<Kind, NamedThing[]>();
  for (const one of things) {
    const ofKind = byKind.get(one.kind) ?? [];
    ofKind.push(one);
    byKind.set(one.kind, ofKind);
  }
  const parts = KINDS.map((kind) => {
    const sorted = (byKind.get(kind) ?? []).sort((a, b) => (a.id < b.id ? -1 : 1));
    return sorted.length === 0 ? '' : partOf(kind, sorted);
  });
  return parts.join('') || '{}\n';
}

/** How a registry is written where a text has several lines: lines are as long as they are, and no quoted text is folded. */
export const YAML_FORM = { lineWidth: 0, doubleQuotedMinMultiLineLength: Number.MAX_SAFE_INTEGER } as const;

/** Longest text of several lines that is not a codec's: a name. */
const LONGEST_NAME = 200;

/**
 * Whether a text is written with quotation marks, its line feeds as `\n`: as lines of their own, blank lines would be
 * others when they are read, and a name has few.
 */
export function isQuoted(text: string): boolean {
  if (text.trim() === '') return true;
  return text.includes('\n') && text.length <= LONGEST_NAME && !text.endsWith('\n');
}

/** A value in one line of YAML. */
export function inline(value: unknown): string {
  if (typeof value === 'string') return isPlain(value) ? value : JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(inline).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).map(([key, inner]) => `${inline(key)}: ${inline(inner)}`);
  return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`;
}

function partOf(kind: Kind, things: readonly NamedThing[]): string {
  const short = things.map(({ thing }) => shortForm(kind, thing));
  if (kind === 'setting') {
    return short.map(({ id, ...values }) => `${inline(id)}: ${inline(values)}\n`).join('');
  }
  // A codec is a text of many lines.
  if (kind === 'codec') return stringify({ [LISTS[kind]]: short.map(withQuotes) }, YAML_FORM);
  return `${LISTS[kind]}:\n${short.map((thing) => `  - ${inline(thing)}\n`).join('')}`;
}

function withQuotes(codec: Readonly<Record<string, unknown>>): object {
  const { text } = codec;
  if (typeof text !== 'string' || !isQuoted(text)) return codec;
  const quoted = new Scalar(text);
  quoted.type = Scalar.QUOTE_DOUBLE;
  return { ...codec, text: quoted };
}

const RESERVED = /^(true|false|null|yes|no|on|off|y|n)$/i;

/** Whether a text means itself in YAML without quotation marks, wherever it stands. */
function isPlain(text: string): boolean {
  return /^\p{L}[\p{L}\p{N}_./@+-]*$/u.test(text) && !RESERVED.test(text);
}

function usual(schema: z.ZodType): unknown {
  return schema.safeParse(undefined).data;
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, inOrder(inner)]));
}
