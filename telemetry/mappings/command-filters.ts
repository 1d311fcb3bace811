import type { Mapping } from '../registry/mappings.ts';
import { covers } from '../topic-filter.ts';
import { type MappingKind, USUAL_TOPICS } from './kinds.ts';

/** Where the devices of a kind listen for commands, where `topic` is that of one device (`+`: any). */
const LISTENS: Readonly<Record<MappingKind, (topic: string) => readonly string[]>> = {
  // Its own topics, and those by which Home Assistant says that it is there.
  zigbee2mqtt: (topic) => [`${parentOf(topic)}/#`, 'homeassistant/#'],
  // Its own, its group's and its fallback topic.
  tasmota: (topic) => [`${withLevel(topic.replace(/\/(?:SENSOR|STATE)$/, ''), 'tele', 'cmnd')}/#`],
  // Of the first generation `…/relay/0/command` and the like, of the second `…/rpc` and `…/command/…`.
  shelly: (topic) => [
    ...(topic === '+' ? ['+/rpc', '+/command/#'] : [`${topic}/#`]),
    'shellies/command',
    'shellies/announce',
  ],
};

/**
 * Whether `by`, a sensor or bridge, listens for commands with this filter as the devices of a kind do that its farm has a
 * mapping of. Loam sends nothing there; but a device that is refused may connect anew for ever. `mappings`: its farm's.
 */
export function isCommandFilter(mappings: readonly Mapping[], by: string, filter: string): boolean {
  // Whatever it matches is no topic of Loam's own.
  const [first = ''] = filter.split('/', 1);
  if (first === 'farms' || /^[+#$]/.test(first)) return false;
  return mappings.some(
    ({ kind, topic, from }) =>
      kind !== undefined && (from ?? by) === by && listensOf(kind, topic).some((pattern) => covers(pattern, filter)),
  );
}

function listensOf(kind: MappingKind, topic: string | undefined): readonly string[] {
  const topics = topic === undefined ? USUAL_TOPICS[kind] : [topic];
  return topics.flatMap((one) => LISTENS[kind](withAnyName(one)));
}

/** With `+` in place of a level that has a hole. */
function withAnyName(topic: string): string {
  return topic
    .split('/')
    .map((level) => (level.includes('{') ? '+' : level))
    .join('/');
}

/** What all devices are under: the topic without its last level. */
function parentOf(topic: string): string {
  const last = topic.lastIndexOf('/');
  return last < 0 ? topic : topic.slice(0, last);
}

function withLevel(topic: string, level: string, other: string): string {
  return topic
    .split('/')
    .map((one) => (one === level ? other : one))
    .join('/');
}
