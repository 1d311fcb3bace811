/** Where a Mosquitto that is a bridge says whether it is connected: by a will, and by a publish at each begin. */
const MOSQUITTO = '$SYS/broker/connection/';
/** How a topic ends by which a device or program says whether it is there. */
const LAST_LEVELS: ReadonlySet<string> = new Set(['LWT', 'online', 'availability']);
const FARMS = 'farms/';
/** What a client of ThingsBoard's asks and answers: there are no attributes to ask for here, and no calls. */
const THINGSBOARD: readonly string[] = [
  'v1/devices/me/rpc/',
  'v1/devices/me/attributes/request/',
  'v1/devices/me/claim',
  'v1/gateway/connect',
  'v1/gateway/disconnect',
  'v1/gateway/rpc',
  'v1/gateway/claim',
  'v1/gateway/attributes/request',
];
/** What The Things Stack tells of a device beside its uplinks. `up/normalized` is said a second time. */
const TTN_EVENTS: ReadonlySet<string> = new Set(['join', 'down', 'service', 'location', 'up']);
/** What ChirpStack tells beside uplinks and status, in version 4 and 3 behind `event/`, earlier without it. */
const CHIRPSTACK_EVENTS: ReadonlySet<string> = new Set([
  'join',
  'ack',
  'txack',
  'error',
  'log',
  'location',
  'integration',
]);

/**
 * Whether a topic is one where devices and programs publish what is no reading: that they are connected, joined or were
 * acknowledged. Such publishes and wills are acknowledged, dropped and counted, whoever sends them.
 */
export function isNotice(topic: string): boolean {
  // Nearly all publishes begin so.
  if (topic.startsWith(FARMS)) return false;
  if (topic.startsWith(MOSQUITTO) || THINGSBOARD.some((begin) => topic.startsWith(begin))) return true;
  const last = topic.lastIndexOf('/');
  if (last > 0 && !topic.startsWith('$') && LAST_LEVELS.has(topic.slice(last + 1))) return true;
  const [first, , middle, , event = '', more] = topic.split('/', 7);
  if (first === 'application' && middle === 'device')
    return CHIRPSTACK_EVENTS.has(event === 'event' ? (more ?? '') : event);
  return first === 'v3' && middle === 'devices' && TTN_EVENTS.has(event) && (event !== 'up' || more !== undefined);
}

/** Whether a Mosquitto that is a bridge says there whether it is connected. */
export function isBridgeNotice(topic: string): boolean {
  return topic.startsWith(MOSQUITTO);
}

/** Where a client of ThingsBoard's listens for what Loam never sends. To subscribe there is granted: it would not start otherwise. */
const SILENT: ReadonlySet<string> = new Set([
  'v1/devices/me/attributes',
  'v1/devices/me/attributes/response/+',
  'v1/devices/me/rpc/request/+',
  'v1/devices/me/rpc/response/+',
  'v1/gateway/attributes',
  'v1/gateway/attributes/response',
  'v1/gateway/rpc',
]);

/** Whether a subscription is one that a client of ThingsBoard's makes by itself. Nothing is ever sent there. */
export function isSilent(filter: string): boolean {
  return SILENT.has(filter);
}
