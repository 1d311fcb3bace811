import { type Document, LineCounter, parseDocument } from 'yaml';

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

/**
 * Reads a YAML text; an empty one is `{}`. Throws YamlBroken for text that is no YAML, duplicate keys, and aliases that
 * lead nowhere or expand without end.
 */
export function readYaml(text: string): YamlFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const [broken] = document.errors;
  if (broken) {
    const message = broken.message.split('\n', 1)[0] ?? broken.message;
    throw new YamlBroken(message, { cause: broken, line: lines.linePos(broken.pos[0]).line });
  }
  return {
    value: toPlain(document) ?? {},
    lineOf: (path) => {
      for (let end = path.length; end > 0; end--) {
        const node: unknown = document.getIn(path.slice(0, end), true);
        if (hasRange(node)) return lines.linePos(node.range[0]).line;
      }
      return undefined;
    },
  };
}

function toPlain(document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new YamlBroken('the aliases in it lead nowhere or grow without end', { cause });
  }
}

function hasRange(node: unknown): node is { range: [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range);
}
