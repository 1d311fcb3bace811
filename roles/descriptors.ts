import { DEFAULT_BROKER_LIMITS } from '../broker/limits.ts';
import type { Config } from '../core/config.ts';
import { type DescriptorPlan, descriptorLimit, planDescriptors } from '../core/descriptors.ts';
import type { RoleContext, RoleName } from './context.ts';

/** Reads how many descriptors the process may have, and divides them; undefined where that cannot be read. */
export function divideDescriptors(config: Config, names: readonly RoleName[]): DescriptorPlan | undefined {
  const limit = descriptorLimit();
  return limit === undefined ? undefined : planDescriptors(limit, wantedByMqtt(config, names));
}

/** Says how they are divided, and warns when they are too few for the settings. Not before the roles are there: what keeps them from it is a line of its own. */
export function sayDescriptors({ config, log, names, descriptors }: RoleContext): void {
  if (descriptors === undefined) return;
  const { limit, mqtt, http } = descriptors;
  log.info({ event: 'descriptors', limit, mqtt, http }, 'open files that this process may have, and who gets them');
  const wanted = wantedByMqtt(config, names);
  if (mqtt >= wanted) return;
  log.warn(
    { event: 'descriptors_few', limit, wanted, mqtt },
    `LOAM_MQTT_CONNECTIONS=${config.mqttConnections} needs more open files than the limit of ${limit} leaves: ` +
      `raise it (ulimit -n, LimitNOFILE=), or MQTT has ${mqtt} connections at most`,
  );
}

function wantedByMqtt({ mqttConnections }: Config, names: readonly RoleName[]): number {
  return names.includes('broker') ? mqttConnections + DEFAULT_BROKER_LIMITS.greetings : 0;
}
