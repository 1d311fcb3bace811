import type { BrokerCounters } from '../counters.ts';

/** Why a connection was closed for what came over it, and where that is counted. */
export const FAULT_COUNTED = {
  /** No MQTT at all, another version of it, or a packet against its rules. */
  not_mqtt: 'malformed',
  protocol: 'malformed',
  malformed: 'malformed',
  too_large: 'oversize',
  /** A command of QoS 1 was answered as one of QoS 2. */
  wrong_answer: 'closedWrongAnswer',
} as const satisfies Record<string, keyof BrokerCounters>;

export type SocketFault = keyof typeof FAULT_COUNTED;
