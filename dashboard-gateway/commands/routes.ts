import { z } from 'zod';
import type { Commands } from '../../backbone/commands/commands.ts';
import { LogUnavailable, TooManyCommands } from '../../core/errors.ts';
import { COMMAND_MS, MOST_COMMAND_BYTES } from '../../telemetry/command.ts';
import { type CommandRecord, stateOf } from '../../telemetry/command-index.ts';
import { ID } from '../../telemetry/reading.ts';
import type { RegistryView } from '../../telemetry/registry/registry.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import { parseBody } from '../http/parse.ts';
import { HttpProblem, quotaReached, retryLater } from '../http/problem.ts';
import { json } from '../http/reply.ts';
import type { Route } from '../http/router.ts';
import type { FarmNow } from '../live/state/sensor-status.ts';
import type { SignInSessions } from '../sign-in/sessions.ts';
import { signedIn, visibleFarm } from '../sign-in/signed-in.ts';

const PATH = '/api/farms/{farm}/sensors/{sensor}/commands';

const commandRequest = z.strictObject({
  command: z.json(),
  /** Seconds. */
  ttl: z
    .int()
    .min(1)
    .max(COMMAND_MS / 1_000)
    .default(COMMAND_MS / 1_000),
});

export interface CommandParts {
  readonly registry: RegistryView;
  readonly sessions: SignInSessions;
  readonly commands: Commands;
  readonly events: Pick<EventRecorder, 'did'>;
  /** A farm's sensors as they are now. Rejects with StoreUnavailable. */
  readonly farmNow: (farm: string) => Promise<FarmNow>;
}

/**
 * Routes to send commands to a sensor, for those who work on its farm, and to list them with their states, for
 * everybody who sees the farm.
 */
export function commandRoutes({ registry, sessions, commands, events, farmNow }: CommandParts): Route[] {
  /** Throws HttpProblem `not-found`. A sensor of a bridge need not be registered, but then it must have reported. */
  const refuseUnknown = async (farm: string, sensor: string): Promise<void> => {
    if (registry.current().sensor(farm, sensor)) return;
    if (ID.test(sensor) && (await farmNow(farm)).sensorIds().has(sensor)) return;
    throw new HttpProblem('not-found', `the farm has no sensor "${sensor}"`);
  };

  return [
    {
      method: 'POST',
      path: PATH,
      handler: signedIn(sessions, async ({ user }, request, { farm: farmId = '', sensor = '' }) => {
        const { farm } = visibleFarm(registry.current(), user, farmId, 'agronomist');
        const { command, ttl } = parseBody(commandRequest, request.body);
        const payload = Buffer.from(JSON.stringify(command));
        if (payload.length > MOST_COMMAND_BYTES) {
          throw new HttpProblem('body-too-large', `a command has at most ${MOST_COMMAND_BYTES} bytes of JSON`);
        }
        await refuseUnknown(farm.id, sensor);
        const most = farm.quotas?.commands;
        if (most !== undefined && commands.waitingIn(farm.id) >= most) throw quotaReached('commands', most);
        const sent = { farm: farm.id, sensor, payload, by: user.name, lifeMs: ttl * 1_000 };
        const record = await kept(commands, sent);
        const act = { kind: 'command_sent', who: user.name, from: request.remoteAddress } as const;
        events.did({ ...act, farm: farm.id, sensor, what: `${record.command.id}: ${withoutSecretKeys(command)}` });
        return json(shown(record, commands.now()), { status: 202 });
      }),
    },
    {
      method: 'GET',
      path: PATH,
      handler: signedIn(sessions, async ({ user }, _request, { farm: farmId = '', sensor = '' }) => {
        const { farm } = visibleFarm(registry.current(), user, farmId);
        const records = commands.recordsOf(farm.id, sensor);
        if (records.length === 0) await refuseUnknown(farm.id, sensor);
        return json({ commands: records.map((record) => shown(record, commands.now())) });
      }),
    },
  ];
}

/** A command as JSON, without what its keys say to be secret: a command may set a device's password. */
function withoutSecretKeys(command: unknown): string {
  const secret = /pass|secret|token|key|psk|pin/i;
  return JSON.stringify(command, (key, value: unknown) => (secret.test(key) ? '(secret)' : value));
}

async function kept(commands: Commands, sent: Parameters<Commands['send']>[0]): Promise<CommandRecord> {
  try {
    return { command: await commands.send(sent), deliveredAt: undefined };
  } catch (error) {
    if (error instanceof TooManyCommands) throw new HttpProblem('too-many-commands', error.message);
    if (error instanceof LogUnavailable) throw retryLater('log-unavailable', 5, error.message);
    throw error;
  }
}

function shown(record: CommandRecord, now: number) {
  const { id, at, expires, by, payload } = record.command;
  const command: unknown = JSON.parse(Buffer.from(payload).toString());
  const { deliveredAt = null } = record;
  return { id, state: stateOf(record, now), command, by, ts: at, expires, deliveredAt };
}
