import { z } from 'zod';
import { explain } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { SecretKey, SecretKeys } from '../../core/secret-key.ts';
import { hashSecret, newSecret } from '../../core/secrets.ts';
import { isStrongToken, keptToken, TOKEN_REFUSED } from '../../telemetry/brought-token.ts';
import type { Edit, Registry, RegistryView } from '../../telemetry/registry/registry.ts';
import { type Sensor, sensorSchema, UNASSIGNED, type User, versionOf } from '../../telemetry/registry/things.ts';
import { etagOf } from '../http/etag.ts';
import { parseBody, parseNoBody } from '../http/parse.ts';
import { HttpProblem, retryLater } from '../http/problem.ts';
import { created, json, noContent, type Reply } from '../http/reply.ts';
import type { Request } from '../http/request.ts';
import type { Route } from '../http/router.ts';
import type { RegistryEditing } from '../registry/editing.ts';
import type { Caller, SignInSessions } from '../sign-in/sessions.ts';
import { signedIn, visibleFarm } from '../sign-in/signed-in.ts';
import { connectionOf, endpointFor, type MqttEndpoint } from './mqtt-endpoint.ts';
import { shownSensor } from './shown.ts';
import { refuseBeyondQuotas } from './within-quotas.ts';

/** Certificates are a matter of whoever runs the broker: `cn` and `revoked` are set on the command line or in the registry's file. */
const describedSensor = sensorSchema.omit({ farm: true, secret: true, token: true, cn: true, revoked: true });
/** `token`: the device's own, which is kept in place of a secret that is made. What it must be is checked with the registry. */
const token = z.string().optional();
const newSensor = describedSensor.extend({ token });
/** A list of sensors is registered in one edit, because each edit of a file reads and writes the whole of it. */
const newSensors = z
  .array(newSensor)
  .min(1)
  .max(100)
  .refine((all) => new Set(all.map(({ id }) => id)).size === all.length, 'an id is there twice');
const MAX_LIST_BYTES = 64 * 1024;
const description = describedSensor.omit({ id: true });
const newToken = z.strictObject({ token });

export interface SensorParts {
  readonly registry: RegistryView;
  readonly editing: RegistryEditing;
  readonly sessions: SignInSessions;
  readonly mqtt: () => MqttEndpoint;
  /** Keeps tokens that devices came with. */
  readonly secretKey: SecretKey;
  readonly log: Logger;
}

/**
 * Routes for admins of a farm: add sensors, change their descriptions, replace a secret, remove a sensor. `If-Match` with
 * the version that `ETag` told makes a change only if nobody else has changed the sensor since.
 */
export function sensorRoutes({ registry, editing, sessions, mqtt, secretKey, log }: SensorParts): Route[] {
  /** A route for admins of the farm, who change the registry. */
  const administer = (
    method: Route['method'],
    path: string,
    act: (change: SensorChange) => Promise<ReturnType<Route['handler']>>,
  ): Route => ({
    method,
    path,
    handler: signedIn(sessions, async (caller, request, { farm = '', sensor = '' }) => {
      visibleFarm(registry.current(), caller.user, farm, 'admin');
      return act(new SensorChange({ registry, editing, log, secretKey, mqtt: mqtt() }, caller, request, farm, sensor));
    }),
  });
  const one = '/api/farms/{farm}/sensors/{sensor}';
  return [
    {
      method: 'GET',
      path: one,
      handler: signedIn(sessions, ({ user }, _request, { farm = '', sensor = '' }) => {
        visibleFarm(registry.current(), user, farm);
        const found = registry.current().sensor(farm, sensor);
        if (!found) throw new HttpProblem('not-found', `the farm has no registered sensor "${sensor}"`);
        return json(
          { sensor: shownSensor(found) },
          { headers: etagOf(versionOf('sensor', `${farm}/${sensor}`, found)) },
        );
      }),
    },
    { ...administer('POST', '/api/farms/{farm}/sensors', (change) => change.add()), maxBody: MAX_LIST_BYTES },
    administer('PUT', one, (change) => change.describe()),
    administer('POST', `${one}/secret`, (change) => change.replaceSecret()),
    administer('DELETE', one, (change) => change.remove()),
  ];
}

interface SensorChangeParts extends Pick<SensorParts, 'registry' | 'editing' | 'secretKey' | 'log'> {
  readonly mqtt: MqttEndpoint;
}

/** One change that an admin asks for. */
class SensorChange {
  private readonly parts: SensorChangeParts;
  private readonly caller: Caller;
  private readonly request: Request;
  private readonly farm: string;
  private readonly sensor: string;

  constructor(parts: SensorChangeParts, caller: Caller, request: Request, farm: string, sensor: string) {
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
    const keys = await this.keyFor(...asked);
    await this.parts.editing.ofFarm({
      caller: this.caller,
      farm: this.farm,
      make: (current, user) => {
        const registered = sensors.map(({ described, by }) => {
          const { id, field } = described;
          if (current.sensor(this.farm, id)) throw new HttpProblem('conflict', `the farm has a sensor "${id}" already`);
          this.refuseField(current, field);
          const kept = keptOf(by, current, keys, { farm: this.farm, id });
          return { ...described, farm: this.farm, ...kept };
        });
        const tokens = registered.flatMap(({ token }) => token ?? []);
        if (new Set(tokens).size < tokens.length) throw refusedToken();
        refuseBeyondQuotas(current, user, this.farm, registered);
        return registered.map((value) => ({ kind: 'sensor', id: `${this.farm}/${value.id}`, value }));
      },
    });
    const answers = sensors.map(({ described: { id }, by }) => ({ id, by }));
    for (const { id } of answers) this.say(id, 'sensor added');
    const [only] = answers;
    if (isList || !only) return created(answers.map(({ id, by }) => this.withSecret(this.requireAdded(id), by)));
    return this.answer(only.id, (sensor) => this.withSecret(sensor, only.by), 201);
  }

  /** Changes a sensor's description. A sensor of a bridge that is not registered yet is registered by this; it needs no secret. */
  async describe() {
    const described = parseBody(description, this.request.body);
    const id = describedSensor.shape.id.safeParse(this.sensor).data;
    if (id === undefined) throw new HttpProblem('not-found', 'no sensor can have this id');
    let isNew = false;
    await this.editSensor((current, user) => {
      this.refuseField(current, described.field);
      const before = current.sensor(this.farm, id);
      isNew = before === undefined;
      const { name, position, ...rest } = described;
      const after = { ...before, id, farm: this.farm, ...rest, name, position };
      refuseBeyondQuotas(current, user, this.farm, [after]);
      return after;
    });
    this.say(id, isNew ? 'sensor registered' : 'sensor changed');
    return this.answer(id, (sensor) => ({ sensor: shownSensor(sensor) }), isNew ? 201 : 200);
  }

  /** Gives a sensor a new secret, or the token in the body, in place of the secret or token that it had. */
  async replaceSecret() {
    const { body } = this.request;
    const given = body.trim() === '' ? {} : parseBody(newToken, body);
    const by = signInBy(given.token);
    const keys = await this.keyFor(given);
    await this.editSensor((current) => {
      const before = this.requireOwnSensor(current);
      const { secret, token } = keptOf(by, current, keys, { farm: this.farm, id: this.sensor });
      return { ...before, secret, token };
    });
    this.say(this.sensor, `sensor has a new ${by.token === undefined ? 'secret' : 'token'}`);
    return this.answer(this.sensor, (sensor) => this.withSecret(sensor, by), 200);
  }

  async remove() {
    parseNoBody(this.request.body);
    await this.editSensor((current) => {
      this.requireOwnSensor(current);
      return null;
    });
    this.say(this.sensor, 'sensor removed');
    return noContent();
  }

  /** Puts what `make` returns in the place of the sensor that the request is about. */
  private async editSensor(make: (current: Registry, user: User) => object | null): Promise<void> {
    const thing = { kind: 'sensor', id: `${this.farm}/${this.sensor}` } as const;
    await this.parts.editing.ofFarm({
      caller: this.caller,
      farm: this.farm,
      about: { ...thing, ifMatch: this.request.headers.ifMatch },
      make: (current, user): Edit[] => [{ ...thing, value: make(current, user) }],
    });
  }

  /** The keys of LOAM_SECRET_KEY, when one of `given` has a token; otherwise it is not needed. */
  private async keyFor(...given: readonly { readonly token?: string | undefined }[]): Promise<SecretKeys | undefined> {
    const tokens = given.flatMap(({ token }) => token ?? []);
    if (tokens.length === 0) return undefined;
    if (!tokens.every(isStrongToken)) throw refusedToken();
    try {
      return await this.parts.secretKey.required();
    } catch (error) {
      // Why may name other farms' sensors.
      this.parts.log.error(`no token can be kept: ${explain(error)}`);
      throw retryLater('registry-unavailable', 60, 'LOAM_SECRET_KEY is missing; the log of this gateway says more');
    }
  }

  private refuseField(current: Registry, field: string): void {
    if (field === UNASSIGNED || current.fields.get(this.farm)?.has(field)) return;
    throw new HttpProblem('invalid-request', `field: the farm has no field "${field}"`);
  }

  private requireOwnSensor(current: Registry): Sensor {
    const sensor = current.sensor(this.farm, this.sensor);
    if (sensor) return sensor;
    throw new HttpProblem('not-found', `the farm has no registered sensor "${this.sensor}"`);
  }

  /** The answer about a sensor that was changed, with its version. */
  private answer(id: string, body: (sensor: Sensor) => object, status: number): Reply {
    const sensor = this.requireAdded(id);
    return json(body(sensor), { status, headers: etagOf(versionOf('sensor', `${this.farm}/${id}`, sensor)) });
  }

  private requireAdded(id: string): Sensor {
    const sensor = this.parts.registry.current().sensor(this.farm, id);
    if (sensor) return sensor;
    throw new HttpProblem('conflict', `sensor "${id}" was removed in the meantime`);
  }

  private withSecret(sensor: Sensor, { secret }: SignInBy) {
    const shown = { sensor: shownSensor(sensor) };
    return { ...shown, ...(secret === undefined ? {} : { secret }), connection: this.connection(sensor.id) };
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
function keptOf(by: SignInBy, current: Registry, keys: SecretKeys | undefined, owner: { farm: string; id: string }) {
  if (by.token === undefined) return { secret: hashSecret(by.secret) };
  const token = keys && keptToken(current, by.token, keys, owner);
  if (token === undefined) throw refusedToken();
  return { token };
}

function refusedToken(): HttpProblem {
  return new HttpProblem('invalid-request', TOKEN_REFUSED);
}
