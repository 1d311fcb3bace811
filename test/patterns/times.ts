import { parseSync, Visitor } from 'rolldown/utils';
import type { Fault } from './find.ts';

/** Where the time may be asked for; `client/` and `dashboard/` run in browsers, whose clocks may be wrong. */
const MAY_ASK = /^(?:core\/clock[^/]*\.ts|client\/.*|dashboard\/api\/gateway-clock\.ts)$/;
/** What tells the time, by the name of its owner. */
const TELLS: Readonly<Record<string, readonly string[]>> = {
  Date: ['now'],
  performance: ['now', 'timeOrigin'],
  process: ['hrtime', 'uptime'],
  os: ['uptime'],
};
/** Modules that give out clocks under names of one's own choice. */
const CLOCKS: Readonly<Record<string, readonly string[]>> = {
  'node:perf_hooks': ['performance'],
  'node:process': ['hrtime', 'uptime'],
  'node:os': ['uptime'],
};

/** Every place in the text of a TypeScript file that asks for the time and not the one clock of its room: a clock that tests cannot set, or one that steps. */
export function timesAskedIn(path: string, text: string): Fault[] {
  if (MAY_ASK.test(path)) return [];
  const { program } = parseSync(path, text);
  const faults: Fault[] = [];
  const fault = ({ start }: { start: number }, what: string) =>
    faults.push({
      path,
      line: text.slice(0, start).split('\n').length,
      what: `${what}: ask ${path.startsWith('dashboard/') ? 'dashboard/api/gateway-clock.ts' : 'core/clock.ts'}`,
    });
  new Visitor({
    MemberExpression(node) {
      const { object, property } = node;
      if (object.type !== 'Identifier' || property.type !== 'Identifier' || node.computed) return;
      if (TELLS[object.name]?.includes(property.name)) fault(node, `${object.name}.${property.name}`);
    },
    NewExpression(node) {
      const { callee } = node;
      if (callee.type === 'Identifier' && callee.name === 'Date' && node.arguments.length === 0)
        fault(node, 'new Date()');
    },
    CallExpression(node) {
      const { callee } = node;
      if (callee.type === 'Identifier' && callee.name === 'Date') fault(node, 'Date()');
    },
    ImportDeclaration(node) {
      const clocks = CLOCKS[node.source.value] ?? [];
      for (const one of node.specifiers) {
        if (one.type !== 'ImportSpecifier' || one.imported.type !== 'Identifier') continue;
        const { name } = one.imported;
        // Under its own name, what is asked of it is seen above.
        const isSeen = name === 'performance' && one.local.name === name;
        if (clocks.includes(name) && !isSeen) fault(node, `${name} of ${node.source.value}`);
      }
    },
  }).visit(program);
  return faults;
}
