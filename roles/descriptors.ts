import { DEFAULT_BROKER_LIMITS } from '../broker/limits.ts';
import { type DescriptorPlan, descriptorLimit, planDescriptors } from '../core/descriptors.ts';
import type { RoleName } from './context.ts';
import type { RunContext } from './run.ts';

/** Reads how many descriptors the process may have, says how they are divided, and warns when they are too few for the settings. */
export function divideDescriptors({ config, log }: RunContext, names: readonly RoleName[]): DescriptorPlan | undefined {
  const limit = descriptorLimit();
  if (limit === undefined) return undefined;
  const wanted = names.includes('broker') ? config.mqttConnections + DEFAULT_BROKER_LIMITS.greetings : 0;
  const plan = planDescriptors(limit, wanted);
  const { mqtt, http } = plan;
  log.info({ event: 'descriptors', limit, mqtt, http }, 'open files that this process may have, and who gets them');
  if (mqtt < wanted) {
    log.warn(
      { event: 'descriptors_few', limit, wanted, mqtt },
      `LOAM_MQTT_CONNECTIONS=${config.mqttConnections} needs more open files than the limit of ${limit} leaves: ` +
        `raise it (ulimit -n, LimitNOFILE=), or MQTT has ${mqtt} connections at most`,
    );
  }
  return plan;
}
