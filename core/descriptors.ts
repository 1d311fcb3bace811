import { readdirSync, readFileSync, statSync } from 'node:fs';

const LIMITS = '/proc/self/limits';
const OPEN = '/proc/self/fd';

/** How many files and sockets this process may have open at once; undefined where that cannot be read, as on macOS. */
export function descriptorLimit(): number | undefined {
  try {
    const soft = /^Max open files +(\d+)/m.exec(readFileSync(LIMITS, 'utf8'))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/** How many are open; infinite when not even that can be asked for, since none is left to ask with. */
export function openDescriptors(): number {
  try {
    // Linux 6.2 and later say it as the folder's size, which costs next to nothing and takes no descriptor.
    return statSync(OPEN).size || readdirSync(OPEN).length;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** Files, logs, the queue, connections to servers: what a process needs besides its clients. */
const MOST_OWN = 256;
/** MQTT clients get so much of the others, if they want it, and HTTP the rest. */
const MQTT_SHARE = 0.75;

export interface DescriptorPlan {
  readonly limit: number;
  /** For connections of MQTT clients, let in or not. */
  readonly mqtt: number;
  /** For HTTP connections and WebSockets. */
  readonly http: number;
}

/** How the descriptors of a process are divided, of which MQTT wants `mqtt`. */
export function planDescriptors(limit: number, mqtt: number): DescriptorPlan {
  const own = Math.min(MOST_OWN, Math.floor(limit / 4));
  const forMqtt = Math.min(mqtt, Math.floor((limit - own) * MQTT_SHARE));
  return { limit, mqtt: forMqtt, http: limit - own - forMqtt };
}
