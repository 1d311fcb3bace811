import { diskFaults } from './disk-faults.ts';
import type { Fault } from './fault.ts';
import { hostFaults } from './hosts-stage.ts';
import { databaseFaults, influxFaults } from './influx-faults.ts';
import { lineFaults } from './line-faults.ts';
import { rabbitFaults } from './rabbit-faults.ts';
import { rabbitLosses } from './rabbit-losses.ts';
import { roleFaults } from './role-faults.ts';
import type { Stage } from './stage.ts';

/** Everything that can be broken on a stage. */
export function faultsOf(stage: Stage): Fault[] {
  if (stage.place) return diskFaults(stage.place);
  const { servers } = stage;
  if (!servers) {
    return Object.values(stage.roles).map((role) => ({ name: `kill -9 ${role.name}`, happen: () => role.kill() }));
  }
  const ofHosts = stage.hosts ? hostFaults(stage.hosts) : [];
  return [
    ...roleFaults(stage),
    ...influxFaults(servers),
    ...databaseFaults(stage),
    ...lineFaults(servers),
    ...rabbitFaults(servers),
    ...rabbitLosses(stage),
    ...ofHosts,
  ];
}
