import { type ESTree, parseSync, Visitor } from 'rolldown/utils';

/** A regular expression as it is written in a source file. */
export interface Pattern {
  readonly path: string;
  /** From 1. */
  readonly line: number;
  readonly source: string;
  readonly flags: string;
}

/** What must not be in a source file, and where. */
export interface Fault {
  readonly path: string;
  readonly line: number;
  readonly what: string;
}

export interface Found {
  readonly patterns: readonly Pattern[];
  readonly faults: readonly Fault[];
}

/** What makes a RegExp of a text, when it is called with one. */
const COMPILING: ReadonlySet<string> = new Set(['match', 'matchAll', 'search']);

/**
 * Every regular expression in the text of a TypeScript file: literals, texts that become one (`RegExp('…')`,
 * `text.match('…')`), and what a form tells the browser to try on its input (`pattern="…"`). A fault is one that is made of
 * anything else while the program runs, because what it will be cannot be known here.
 */
export function patternsIn(path: string, text: string): Found {
  const { program, errors } = parseSync(path, text);
  const patterns: Pattern[] = [];
  const faults: Fault[] = errors.map(({ message }) => ({ path, line: 1, what: `cannot be read: ${message}` }));
  const lineOf = ({ start }: { start: number }) => text.slice(0, start).split('\n').length;
  const found = (node: { start: number }, source: string, flags: string) =>
    patterns.push({ path, line: lineOf(node), source, flags });
  const fault = (node: { start: number }, what: string) => faults.push({ path, line: lineOf(node), what });
  const literals = namesOfLiterals(program);
  const lawful = new Set<number>();

  /** `new RegExp(…)` and `RegExp(…)`. */
  const construction = (node: ESTree.NewExpression | ESTree.CallExpression) => {
    if (!isNamed(node.callee, 'RegExp')) return;
    lawful.add(node.callee.start);
    const [source, flags] = node.arguments.map((one) => textOf(one));
    if (source === undefined || (node.arguments.length > 1 && flags === undefined)) {
      fault(node, 'a RegExp that is not made of literal text');
    } else found(node, source, flags ?? '');
  };

  new Visitor({
    Literal(node) {
      if ('regex' in node) found(node, node.regex.pattern, node.regex.flags);
    },
    NewExpression: construction,
    CallExpression(node) {
      construction(node);
      const [given, ...more] = node.arguments;
      if (given === undefined || more.length > 0 || !COMPILING.has(memberOf(node.callee) ?? '')) return;
      const source = textOf(given);
      if (source !== undefined) found(node, source, '');
      else if (!isLiteral(given) && !(given.type === 'Identifier' && literals.has(given.name))) {
        fault(node, `${memberOf(node.callee)}() with what is no literal of this file: a text becomes a RegExp there`);
      }
    },
    BinaryExpression({ operator, right }) {
      if (operator === 'instanceof' && isNamed(right, 'RegExp')) lawful.add(right.start);
    },
    TSTypeReference({ typeName }) {
      lawful.add(typeName.start);
    },
    Identifier(node) {
      if (node.name === 'RegExp' && !lawful.has(node.start)) {
        fault(node, 'RegExp as a value: what is made with it cannot be followed');
      }
    },
    JSXAttribute(node) {
      if (node.name.type !== 'JSXIdentifier' || node.name.name !== 'pattern') return;
      const { value } = node;
      if (value?.type !== 'Literal') fault(node, 'a pattern of an input field that is not literal text');
      else found(node, `^(?:${value.value})$`, 'u');
    },
  }).visit(program);
  return { patterns, faults };
}

/** The names of constants that are a literal RegExp. */
function namesOfLiterals(program: ESTree.Program): ReadonlySet<string> {
  const names = new Set<string>();
  new Visitor({
    VariableDeclaration({ kind, declarations }) {
      for (const { id, init } of kind === 'const' ? declarations : []) {
        if (id.type === 'Identifier' && init && isLiteral(init)) names.add(id.name);
      }
    },
  }).visit(program);
  return names;
}

function isLiteral(node: ESTree.Argument): boolean {
  return node.type === 'Literal' && 'regex' in node;
}

/** The text of a literal or of a template, `String.raw` too, that has nothing to fill in; undefined for anything else. */
function textOf(node: ESTree.Argument): string | undefined {
  if (node.type === 'Literal') return typeof node.value === 'string' ? node.value : undefined;
  const isRaw = node.type === 'TaggedTemplateExpression' && memberOf(node.tag) === 'raw';
  const template = isRaw ? node.quasi : node;
  if (template.type !== 'TemplateLiteral' || template.expressions.length > 0) return undefined;
  const { raw, cooked } = template.quasis[0]?.value ?? {};
  return isRaw ? raw : (cooked ?? undefined);
}

/** The name of a member (`match` in `text.match`, `text?.match` and `text['match']`); undefined for anything else. */
function memberOf(node: ESTree.Expression): string | undefined {
  if (node.type !== 'MemberExpression') return undefined;
  const { property } = node;
  if (property.type === 'Literal') return typeof property.value === 'string' ? property.value : undefined;
  return !node.computed && property.type === 'Identifier' ? property.name : undefined;
}

/** Whether a node is this very name. A member such as `globalThis.RegExp` is not. */
function isNamed(node: { readonly type: string; readonly start: number }, name: string): boolean {
  return node.type === 'Identifier' && 'name' in node && node.name === name;
}
