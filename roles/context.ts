import type { DescriptorPlan } from '../core/descriptors.ts';
import type { Health, Lifecycle, Part } from '../core/lifecycle.ts';
import type { Metrics } from '../core/metrics.ts';
import type { FirstSignIn } from '../dashboard-gateway/sign-in/first-sign-in.ts';
import type { Ports } from './ports.ts';
import type { RunContext } from './run.ts';
import type { ServerPolicies } from './server-policies.ts';

export type RoleName = 'gateway' | 'worker' | 'broker';

/** What the roles of one process share. */
export interface RoleContext extends RunContext {
  readonly lifecycle: Lifecycle;
  readonly names: readonly RoleName[];
  /** Opened when a role asks for them. */
  readonly ports: Ports;
  readonly metrics: Metrics;
  /** The roles whose ports are open. */
  readonly prepared: PreparedRole[];
  readonly policies: ServerPolicies;
  /** The health of the whole process. */
  readonly health: () => readonly Health[];
  /** Where the servers of this process listen, once they do. The broker sets `mqtt`, the gateway sets `http`. */
  readonly addresses: { mqtt?: () => Address; http?: () => Address };
  /** How the process's descriptors are divided; absent where their limit is not known. */
  readonly descriptors?: DescriptorPlan | undefined;
  /** How many connections MQTT has now. The broker sets it. */
  readonly connections: { mqtt?: () => number };
  readonly firstSignIn?: FirstSignIn | undefined;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A role whose ports are open. */
export interface PreparedRole {
  /** In the order in which they start; they are stopped in the reverse order. */
  readonly parts: readonly Part[];
  readonly health: () => readonly Health[];
  /** What is logged when it is ready. */
  readonly says?: () => Readonly<Record<string, string>>;
}
