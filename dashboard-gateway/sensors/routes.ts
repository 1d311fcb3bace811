import { z } from 'zod';
import { explain, RegistryInvalid } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { SecretKey } from '../../core/secret-key.ts';
import { hashSecret, newSecret } from '../../core/secrets.ts';
import { isStrongToken, keptToken, TOKEN_REFUSED } from '../../telemetry/brought-token.ts';
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
const describedSensor = sensorSchema.omit({ farm: true, secret: true, token: true, cn: true });
/** `token`: the device's own, which is kept in place of a secret that is made. What it must be is checked with the registry. */
const token = z.string().optional();
const newSensor = describedSensor.extend({ token });
/** A list of sensors is registered in one edit of the registry's file, because each edit reads and writes the whole file. */
const newSensors = z
  .array(newSensor)
  .min(1)
  .max(100)
  .refine((all) => new Set(all.map(({ id }) => id)).size === all.length, 'an id is there twice');
const MAX_LIST_BYTES = 64 * 1024;
const description = describedSensor.omit({ id: true });
const newToken = z.strictObject({ token });

export interface SensorParts {
  readonly registry: RegistryView & RegistryEditor;
  readonly sessions: SignInSessions;
  readonly mqtt: () => MqttEndpoint;
  /** Keeps tokens that devices came with. */
  readonly secretKey: SecretKey;
  readonly log: Logger;
}

/**
 * Routes for admins of a farm: add sensors, change their descriptions, replace a secret, remove a sensor. Each change
 * is checked against the text of the registry's file while that is locked, because the registry in memory may be a
 * second old.
 */
export function sensorRoutes({ registry, sessions, mqtt, secretKey, log }: SensorParts): Route[] {
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
      return act(new SensorChange({ registry, log, secretKey, mqtt: mqtt() }, caller, request, farm, sensor));
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
  private readonly parts: Pick<SensorParts, 'registry' | 'secretKey' | 'log'> & { readonly mqtt: MqttEndpoint };
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
    const sensors = asked.map(({ token, ...described }) => ({ described, by: signInBy(token) }));
    const key = await this.keyFor(...asked);
    await this.edit((text, current) => {
      const registered = sensors.map(({ described, by }) => {
        const { id, field, ...rest } = described;
        if (current.sensor(this.farm, id)) throw new HttpProblem('conflict', `the farm has a sensor "${id}" already`);
        this.refuseField(current, field);
        return { id, farm: this.farm, field, ...rest, ...keptOf(by, current, key, { farm: this.farm, id }) };
      });
      const tokens = registered.flatMap(({ token }) => token ?? []);
      if (new Set(tokens).size < tokens.length) throw refusedToken();
      return addSensor(text, ...registered);
    });
    const answers = sensors.map(({ described: { id }, by }) => {
      this.say(id, 'sensor added');
      return this.withSecret(id, by);
    });
    return created(isList ? answers : answers[0]);
  }

  /** Changes a sensor's description. A sensor of a bridge that is not registered yet is registered by this; it needs no secret. */
  async describe() {
    const described = parseBody(description, this.request.body);
    const id = describedSensor.shape.id.safeParse(this.sensor).data;
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

  /** Gives a sensor a new secret, or the token in the body, in place of the secret or token that it had. */
  async replaceSecret() {
    const { body } = this.request;
    const given = body.trim() === '' ? {} : parseBody(newToken, body);
    const by = signInBy(given.token);
    const key = await this.keyFor(given);
    await this.edit((text, current) => {
      this.requireOwnSensor(current);
      const { secret, token } = keptOf(by, current, key, { farm: this.farm, id: this.sensor });
      return changeSensor(text, this.farm, this.sensor, { secret, token });
    });
    this.say(this.sensor, `sensor has a new ${by.token === undefined ? 'secret' : 'token'}`);
    return json(this.withSecret(this.sensor, by));
  }

  async remove() {
    await this.edit((text, current) => {
      this.requireOwnSensor(current);
      return removeSensor(text, this.farm, this.sensor);
    });
    this.say(this.sensor, 'sensor removed');
    return noContent();
  }

  /** LOAM_SECRET_KEY, when one of `given` has a token; otherwise it is not needed. */
  private async keyFor(...given: readonly { readonly token?: string | undefined }[]): Promise<string> {
    const tokens = given.flatMap(({ token }) => token ?? []);
    if (tokens.length === 0) return '';
    if (!tokens.every(isStrongToken)) throw refusedToken();
    try {
      return await this.parts.secretKey.make();
    } catch (error) {
      // Why may name other farms' sensors.
      this.parts.log.error(`no token can be kept: ${explain(error)}`);
      throw retryLater('registry-unavailable', 60, 'LOAM_SECRET_KEY is missing; the log of this gateway says more');
    }
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
      throw retryLater('registry-unavailable', 5, this.withoutOtherFarms(explain(error)));
    }
  }

  /** What is wrong with the registry may be about other farms: then it is said in the log alone. */
  private withoutOtherFarms(why: string): string {
    const others = [...this.parts.registry.current().farms.keys()].filter((farm) => farm !== this.farm);
    return others.some((farm) => why.includes(`"${farm}"`)) ? 'the log of the gateway says why' : why;
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

  private withSecret(id: string, { secret }: SignInBy) {
    return { ...this.shown(id), ...(secret === undefined ? {} : { secret }), connection: this.connection(id) };
  }

  private connection(id: string) {
    return connectionOf(endpointFor(this.parts.mqtt, this.request.headers.host), this.farm, id);
  }

  private say(sensor: string, what: string): void {
    this.parts.log.info({ farm: this.farm, sensor, by: this.caller.user.name }, what);
  }
}

/** What a sensor signs in with: a secret that is made here, or its own token. */
type SignInBy =
  | { readonly secret: string; readonly token?: never }
  | { readonly secret?: never; readonly token: string };

function signInBy(token: string | undefined): SignInBy {
  return token === undefined ? { secret: newSecret() } : { token };
}

/** What the registry keeps of it. Throws HttpProblem for a token that is weak or taken. */
function keptOf(by: SignInBy, current: Registry, key: string, owner: { farm: string; id: string }) {
  if (by.token === undefined) return { secret: hashSecret(by.secret) };
  const token = keptToken(current, by.token, key, owner);
  if (token === undefined) throw refusedToken();
  return { token };
}

function refusedToken(): HttpProblem {
  return new HttpProblem('invalid-request', TOKEN_REFUSED);
}
