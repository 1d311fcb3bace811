import { telemetryTopic } from '../../telemetry/topic.ts';
import type { Identity } from './identity.ts';

/** The topic that a client may publish to, as a part of a sentence. */
export function rightTopic({ farm, sensor, role }: Pick<Identity, 'farm' | 'sensor' | 'role'>): string {
  if (role === 'sensor') return telemetryTopic(farm, sensor);
  return `${telemetryTopic(farm, 'ID')}, where ID is any sensor of its farm`;
}
