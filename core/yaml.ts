import { type Document, LineCounter, parseDocument, visit } from 'yaml';

/** A YAML text as plain values, with the line on which each value stands. */
export interface YamlFile {
  readonly value: unknown;
  /** The line, from 1, of the value at `path`, or of the nearest value around it that is in the text. */
  lineOf(path: readonly PropertyKey[]): number | undefined;
}

/** A YAML text cannot be read. `line` counts from 1. */
export class YamlBroken extends Error {
  readonly line: number | undefined;

  constructor(message: string, options: { cause: unknown; line?: number }) {
    super(message, options);
    this.line = options.line;
  }
}

/** Most aliases in a text, and most times that one anchor is meant, also by aliases of aliases: each is looked for among all others. */
const MOST_ALIASES = 10_000;

/**
 * Reads a YAML text; an empty one is `{}`. Throws YamlBroken for text that is no YAML, duplicate keys, and aliases that
 * lead nowhere or expand without end.
 */
export function readYaml(text: string): YamlFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false });
  const [broken] = document.errors;
  if (broken) {
    throw new YamlBroken(broken.message, { cause: broken, line: lines.linePos(broken.pos[0]).line });
  }
  return {
    value: toPlain(document, text) ?? {},
    lineOf: (path) => {
      for (let end = path.length; end > 0; end--) {
        const node: unknown = document.getIn(path.slice(0, end), true);
        if (hasRange(node)) return lines.linePos(node.range[0]).line;
      }
      return undefined;
    },
  };
}

function toPlain(document: Document, text: string): unknown {
  refuseTooMany(document, text);
  try {
    return document.toJS({ maxAliasCount: MOST_ALIASES });
  } catch (cause) {
    throw new YamlBroken('the aliases in it lead nowhere or grow without end', { cause });
  }
}

function refuseTooMany(document: Document, text: string): void {
  let left = MOST_ALIASES;
  // To go through all of a large text takes time, and most have none.
  if (text.split('*', left + 2).length <= left + 1) return;
  visit(document, {
    Alias() {
      left -= 1;
      return left < 0 ? visit.BREAK : undefined;
    },
  });
  if (left >= 0) return;
  const why = `it has more than ${MOST_ALIASES} aliases`;
  throw new YamlBroken(why, { cause: new Error(why) });
}

function hasRange(node: unknown): node is { range: [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range);
}
