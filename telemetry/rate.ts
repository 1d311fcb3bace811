import { z } from 'zod';

/** So much a second. */
export const perSecond = (least: number) => z.number().min(least).max(1_000_000_000);

/** How much a sensor or bridge may publish. Above that its connection is read more slowly, and nothing is lost. */
export const rate = z.strictObject({
  /** Publishes a second. */
  messages: perSecond(1).optional(),
  /** Bytes of MQTT a second. */
  bytes: perSecond(1_000).optional(),
  /** How many seconds of the rate may come at once after a silence. */
  burst: z.number().min(1).max(86_400).optional(),
});

/** The rates of all sensors and of all bridges that have no rate of their own. */
export const rates = z.strictObject({ sensor: rate.optional(), bridge: rate.optional() });

/** A rate with its defaults filled in. */
export interface Rate {
  readonly messages: number;
  readonly bytes: number;
  readonly burst: number;
}
export type Rates = z.infer<typeof rates>;

/** Defaults: a sensor that measures once a second and was offline for a day has 86,400 publishes to send, in 90 s. */
const USUAL: Readonly<Record<'sensor' | 'bridge', Rate>> = {
  sensor: { messages: 1_000, bytes: 1_000_000, burst: 10 },
  bridge: { messages: 20_000, bytes: 20_000_000, burst: 10 },
};

/** The rate of a sensor or bridge: its own, else the registry's, else the usual one; each part by itself. */
export function rateOf(
  who: { role: 'sensor' | 'bridge'; rate?: z.infer<typeof rate> | undefined },
  defaults: Rates,
): Rate {
  const { messages, bytes, burst } = USUAL[who.role];
  const usual = defaults[who.role];
  const own = who.rate;
  return {
    messages: own?.messages ?? usual?.messages ?? messages,
    bytes: own?.bytes ?? usual?.bytes ?? bytes,
    burst: own?.burst ?? usual?.burst ?? burst,
  };
}
