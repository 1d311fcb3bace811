import { ID } from './reading.ts';

/** Where a sensor publishes: `farms/{farm}/sensors/{sensor}/telemetry`. */
export interface TelemetryTopic {
  readonly farm: string;
  readonly sensor: string;
}

/** The farm and sensor that a native telemetry topic names, or undefined when it is not one. */
export function parseTelemetryTopic(topic: string): TelemetryTopic | undefined {
  const parts = topic.split('/');
  if (parts.length !== 5) return undefined;
  const [farms, farm, sensors, sensor, telemetry] = parts;
  if (farms !== 'farms' || sensors !== 'sensors' || telemetry !== 'telemetry') return undefined;
  if (farm === undefined || sensor === undefined || !ID.test(farm) || !ID.test(sensor)) return undefined;
  return { farm, sensor };
}

/** The topic that `sensor` of `farm` publishes its readings to. */
export function telemetryTopic(farm: string, sensor: string): string {
  return `farms/${farm}/sensors/${sensor}/telemetry`;
}

/** The topic that `sensor` of `farm` may subscribe to for commands. */
export function commandsTopic(farm: string, sensor: string): string {
  return `farms/${farm}/sensors/${sensor}/commands`;
}
