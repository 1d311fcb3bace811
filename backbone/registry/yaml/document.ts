import { isDeepStrictEqual } from 'node:util';
import { type Document, isMap, isScalar, isSeq, type Node, parseDocument, visit, type YAMLMap, YAMLSeq } from 'yaml';
import { RegistryInvalid } from '../../../core/errors.ts';
import { LISTS } from '../../../telemetry/registry/file.ts';
import type { Change } from '../../../telemetry/registry/registry.ts';
import { isQuoted, shortForm, YAML_FORM } from '../../../telemetry/registry/text.ts';
import type { Kind, Thing } from '../../../telemetry/registry/things.ts';

/**
 * A registry's text with these changes in it. Comments, order and layout stay as their writer left them. Throws
 * RegistryInvalid when a thing stands there in a form that cannot be found again, such as an alias. The result is not
 * checked here.
 */
export function editedText(text: string, changes: readonly Change[]): string {
  const document = parseDocument(text, { prettyErrors: false });
  const broken = document.errors[0];
  if (broken) throw new RegistryInvalid(broken.message, { cause: broken });
  for (const kind of new Set(changes.map((change) => change.kind))) {
    const ofKind = changes.filter((change) => change.kind === kind);
    if (kind === 'setting') for (const change of ofKind) editSetting(document, change);
    else editList(document, kind, ofKind);
  }
  return asWritten(text, document);
}

/** The document as text, with the line ends, and the mark of UTF-8 at the beginning, that `text` has. */
function asWritten(text: string, document: Document): string {
  let edited: string;
  try {
    edited = document.toString(YAML_FORM);
  } catch (cause) {
    throw new RegistryInvalid(
      'what is to be removed or changed has an anchor (&), and an alias (*) elsewhere means it',
      {
        cause,
      },
    );
  }
  const mark = text.startsWith('\uFEFF') ? '\uFEFF' : '';
  const isCrLf = text[text.indexOf('\n') - 1] === '\r';
  return mark + (isCrLf ? edited.replace(/\r?\n/g, '\r\n') : edited);
}

type PlainThing = Readonly<Record<string, unknown>>;

function editSetting(document: Document, { id, before, after }: Change): void {
  if (!after) {
    document.delete(id);
    return;
  }
  const node: unknown = document.get(id);
  if (isMap(node)) editMap(document, node, bare(before), bare(after));
  else document.set(id, nodeOf(document, bare(after)));
}

/** A setting in the file is what it has besides its id. */
function bare(thing: Thing | undefined): PlainThing {
  return Object.fromEntries(Object.entries(thing ?? {}).filter(([key]) => key !== 'id'));
}

function editList(document: Document, kind: keyof typeof LISTS, changes: readonly Change[]): void {
  const list = listAt(document, LISTS[kind]);
  const places = new Map<string, YAMLMap>();
  for (const item of list.items) if (isMap(item)) places.set(idAt(kind, item), item);
  const removed = new Set<unknown>();
  for (const { id, before, after } of changes) {
    if (!before) {
      // An empty list is usually written `[]`: without this, new items would be added to that one line.
      if (list.items.length === 0) list.flow = false;
      if (after) list.add(nodeOf(document, shortForm(kind, after)));
      continue;
    }
    const item = places.get(id);
    if (!item) throw new RegistryInvalid(`${kind} ${id}: stands in the file in a form that cannot be edited here`);
    if (!after) {
      removed.add(item);
    } else {
      editMap(document, item, { ...before }, { ...after });
      // Its new text is here, and no longer in the file that it named.
      if (kind === 'codec') item.delete('file');
    }
  }
  if (removed.size > 0) list.items = list.items.filter((item) => !removed.has(item));
}

/** Changes what differs, and leaves the rest as it is written. */
function editMap(document: Document, map: YAMLMap, before: PlainThing, after: PlainThing): void {
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [was, is] = [before[key], after[key]];
    if (isDeepStrictEqual(was, is)) continue;
    const node: unknown = map.get(key, true);
    if (is === undefined) map.delete(key);
    else if (isMap(node) && isPlain(was) && isPlain(is)) editMap(document, node, was, is);
    else if (isScalar(node) && typeof is !== 'object') {
      // A plain value goes into the node that is there, beside its comment.
      node.value = is;
      quote(node);
    } else map.set(key, nodeOf(document, is));
  }
}

function nodeOf(document: Document, value: unknown): Node {
  const node = document.createNode(value);
  visit(node, { Scalar: (_key, scalar) => quote(scalar) });
  return node;
}

function quote(node: unknown): void {
  if (isScalar(node) && typeof node.value === 'string' && isQuoted(node.value)) node.type = 'QUOTE_DOUBLE';
}

function listAt(document: Document, key: string): YAMLSeq {
  const found = document.get(key);
  if (isSeq(found)) return found;
  const made = new YAMLSeq();
  document.set(key, made);
  return made;
}

function idAt(kind: Kind, item: YAMLMap): string {
  if (kind === 'user') return String(item.get('name'));
  const id = String(item.get('id'));
  return kind === 'field' || kind === 'sensor' || kind === 'mapping' ? `${String(item.get('farm'))}/${id}` : id;
}

function isPlain(value: unknown): value is PlainThing {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
