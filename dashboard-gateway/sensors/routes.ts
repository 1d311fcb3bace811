import { z } from 'zod';
import { explain, RegistryInvalid } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { hashSecret, newSecret } from '../../core/secrets.ts';
import {
  parseRegistry,
  type Registry,
  type RegistryEditor,
  type RegistryView,
  sensorSchema,
  UNASSIGNED,
} from '../../telemetry/registry.ts';
import { addSensor, changeSensor, removeSensor } from '../../telemetry/registry-edit.ts';
import { parseBody } from '../http/parse.ts';
import { HttpProblem, retryLater } from '../http/problem.ts';
import { created, json, noContent } from '../http/reply.ts';
import type { Request } from '../http/request.ts';
import type { Route } from '../http/router.ts';
import { type Caller, isTokenHolder, type SignInSessions } from '../sign-in/sessions.ts';
import { signedIn, visibleFarm } from '../sign-in/signed-in.ts';
import { connectionOf, endpointFor, type MqttEndpoint } from './mqtt-endpoint.ts';
import { shownSensor } from './shown.ts';

/** Whom a certificate means is no matter of one farm: `cn` is set in the registry's file only. */
const newSensor = sensorSchema.omit({ farm: true, secret: true, cn: true });
/** A list of sensors is registered in one edit of the registry's file, because each edit reads and writes the whole file. */
const newSensors = z
  .array(newSensor)
  .min(1)
  .max(100)
  .refine((all) => new Set(all.map(({ id }) => id)).size === all.length, 'an id is there twice');
const MAX_LIST_BYTES = 64 * 1024;
const description = newSensor.omit({ id: true });

export interface SensorParts {
  readonly registry: RegistryView & RegistryEditor;
  readonly sessions: SignInSessions;
  readonly mqtt: () => MqttEndpoint;
  readonly log: Logger;
}

/**
 * Routes for admins of a farm: add sensors, change their descriptions, replace a secret, remove a sensor. Each change
 * is checked against the text of the registry's file while that is locked, because the registry in memory may be a
 * second old.
 */
export function sensorRoutes({ registry, sessions, mqtt, log }: SensorParts): Route[] {
  /** A route for admins of the farm, who change the registry's text. */
  const administer = (
    method: Route['method'],
    path: string,
    act: (change: SensorChange) => Promise<ReturnType<Route['handler']>>,
  ): Route => ({
    method,
    path,
    handler: signedIn(sessions, async (caller, request, { farm = '', sensor = '' }) => {
      visibleFarm(registry.current(), caller.user, farm, 'admin');
      return act(new SensorChange({ registry, log, mqtt: mqtt() }, caller, request, farm, sensor));
    }),
  });
  const one = '/api/farms/{farm}/sensors/{sensor}';
  return [
    { ...administer('POST', '/api/farms/{farm}/sensors', (change) => change.add()), maxBody: MAX_LIST_BYTES },
    administer('PUT', one, (change) => change.describe()),
    administer('POST', `${one}/secret`, (change) => change.replaceSecret()),
    administer('DELETE', one, (change) => change.remove()),
  ];
}

/** One change that an admin asks for. */
class SensorChange {
  private readonly parts: Pick<SensorParts, 'registry' | 'log'> & { readonly mqtt: MqttEndpoint };
  private readonly caller: Caller;
  private readonly request: Request;
  private readonly farm: string;
  private readonly sensor: string;

  constructor(parts: SensorChange['parts'], caller: Caller, request: Request, farm: string, sensor: string) {
    this.parts = parts;
    this.caller = caller;
    this.request = request;
    this.farm = farm;
    this.sensor = sensor;
  }

  /** Registers one sensor or a list of them: either all of the list, or none. */
  async add() {
    const { body } = this.request;
    const isList = body.trimStart().startsWith('[');
    const asked = isList ? parseBody(newSensors, body) : [parseBody(newSensor, body)];
    const sensors = asked.map((sensor) => ({ ...sensor, secret: newSecret() }));
    await this.edit((text, current) => {
      for (const { id, field } of sensors) {
        if (current.sensor(this.farm, id)) throw new HttpProblem('conflict', `the farm has a sensor "${id}" already`);
        this.refuseField(current, field);
      }
      const registered = sensors.map(({ id, secret, ...described }) => {
        return { id, farm: this.farm, ...described, secret: hashSecret(secret) };
      });
      return addSensor(text, ...registered);
    });
    const answers = sensors.map(({ id, secret }) => {
      this.say(id, 'sensor added');
      return { ...this.shown(id), secret, connection: this.connection(id) };
    });
    return created(isList ? answers : answers[0]);
  }

  /** Changes a sensor's description. A sensor of a bridge that is not registered yet is registered by this; it needs no secret. */
  async describe() {
    const described = parseBody(description, this.request.body);
    const id = newSensor.shape.id.safeParse(this.sensor).data;
    if (id === undefined) throw new HttpProblem('not-found', 'no sensor can have this id');
    let isNew = false;
    await this.edit((text, current) => {
      this.refuseField(current, described.field);
      isNew = current.sensor(this.farm, id) === undefined;
      const { name, position, ...rest } = described;
      return isNew
        ? addSensor(text, { id, farm: this.farm, ...described })
        : changeSensor(text, this.farm, id, { ...rest, name, position });
    });
    this.say(id, isNew ? 'sensor registered' : 'sensor changed');
    return json(this.shown(id), { status: isNew ? 201 : 200 });
  }

  async replaceSecret() {
    const secret = newSecret();
    await this.edit((text, current) => {
      this.requireOwnSensor(current);
      return changeSensor(text, this.farm, this.sensor, { secret: hashSecret(secret) });
    });
    this.say(this.sensor, 'sensor has a new secret');
    return json({ ...this.shown(this.sensor), secret, connection: this.connection(this.sensor) });
  }

  async remove() {
    await this.edit((text, current) => {
      this.requireOwnSensor(current);
      return removeSensor(text, this.farm, this.sensor);
    });
    this.say(this.sensor, 'sensor removed');
    return noContent();
  }

  private async edit(change: (text: string, current: Registry) => string): Promise<void> {
    try {
      await this.parts.registry.edit((text) => {
        const current = parseRegistry(text);
        const { user } = this.caller;
        const now = isTokenHolder(user) ? user : current.users.get(user.name);
        if (now === undefined) throw new HttpProblem('forbidden');
        visibleFarm(current, now, this.farm, 'admin');
        return change(text, current);
      });
    } catch (error) {
      if (!(error instanceof RegistryInvalid)) throw error;
      this.parts.log.error(`the registry cannot be changed: ${explain(error)}`);
      throw retryLater('registry-unavailable', 5, explain(error));
    }
  }

  private refuseField(current: Registry, field: string): void {
    if (field === UNASSIGNED || current.fields.get(this.farm)?.has(field)) return;
    throw new HttpProblem('invalid-request', `field: the farm has no field "${field}"`);
  }

  private requireOwnSensor(current: Registry): void {
    if (current.sensor(this.farm, this.sensor)) return;
    throw new HttpProblem('not-found', `the farm has no registered sensor "${this.sensor}"`);
  }

  private shown(id: string): { sensor: ReturnType<typeof shownSensor> } {
    const sensor = this.parts.registry.current().sensor(this.farm, id);
    if (sensor === undefined) throw new HttpProblem('conflict', `sensor "${id}" was removed in the meantime`);
    return { sensor: shownSensor(sensor) };
  }

  private connection(id: string) {
    return connectionOf(endpointFor(this.parts.mqtt, this.request.headers.host), this.farm, id);
  }

  private say(sensor: string, what: string): void {
    this.parts.log.info({ farm: this.farm, sensor, by: this.caller.user.name }, what);
  }
}
