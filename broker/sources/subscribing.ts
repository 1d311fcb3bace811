import type { MqttClient } from 'mqtt';
import type { SourceSession } from './source-session.ts';

const REFUSED = 128;
const UNKNOWN = -1;

/** The other broker does not let Loam subscribe to some topics. */
export class SubscriptionRefused extends Error {}

/**
 * Subscribes to what is not subscribed in the session yet, and to nothing else: for what is subscribed again the other
 * broker sends every retained message again. Afterwards ends subscriptions that are wanted no more. What may be
 * subscribed is written down before, by `keep`, so that a topic can be unsubscribed whenever Loam ends. Rejects with
 * SubscriptionRefused.
 */
export async function subscribeTo(
  client: MqttClient,
  topics: readonly string[],
  session: SourceSession,
  keep: () => Promise<void>,
): Promise<void> {
  const missing = [...new Set(topics)].filter((topic) => (session.filters.get(topic) ?? UNKNOWN) === UNKNOWN);
  const superfluous = [...session.filters.keys()].filter((filter) => !topics.includes(filter));
  if (missing.length > 0) {
    for (const topic of missing) session.subscribed(topic, UNKNOWN);
    await keep();
    const refused = await subscribe(client, missing, session);
    await keep();
    if (refused.length > 0) throw new SubscriptionRefused(refused.join(', '));
  }
  if (superfluous.length > 0) {
    await unsubscribe(client, superfluous, session);
    await keep();
  }
}

/** The topics that the other broker granted QoS 0 for, though QoS 1 was asked. */
export function atMostOnce(topics: readonly string[], { filters }: SourceSession): string[] {
  return topics.filter((topic) => filters.get(topic) === 0);
}

/** Ends subscriptions. Rejects when the connection ends before the answer. */
export async function unsubscribe(
  client: MqttClient,
  filters: readonly string[],
  session: SourceSession,
): Promise<void> {
  await client.unsubscribeAsync([...filters]);
  session.unsubscribed(filters);
}

/** Resolves with the topics that were refused. Rejects when the connection ends before the answer. */
async function subscribe(client: MqttClient, topics: readonly string[], session: SourceSession): Promise<string[]> {
  const codes = await answerTo(client, topics);
  const refused = topics.filter((_, i) => codes[i] === REFUSED);
  for (const [i, topic] of topics.entries()) if (!refused.includes(topic)) session.subscribed(topic, qosIn(codes[i]));
  session.unsubscribed(refused);
  return refused;
}

function qosIn(code: unknown): number {
  return code === 0 || code === 1 || code === 2 ? code : UNKNOWN;
}

/** The return codes of a SUBACK. When one of them is a refusal, mqtt.js tells them beside its error only. */
function answerTo(client: MqttClient, topics: readonly string[]): Promise<readonly unknown[]> {
  return new Promise((resolve, reject) => {
    client.subscribe([...topics], { qos: 1 }, (error, _, packet) => {
      const codes: readonly unknown[] =
        packet && 'granted' in packet && Array.isArray(packet.granted) ? packet.granted : [];
      if (codes.length === topics.length) resolve(codes);
      else reject(error ?? new Error('the answer to SUBSCRIBE does not fit'));
    });
  });
}
