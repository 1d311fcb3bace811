import type { ClockCondition } from '../../client/messages.ts';
import { record, text } from '../../client/shape-checks.ts';
import { farmPath } from './gateway.ts';
import { call, callWithVersion } from './http.ts';
import { type Corner, readSensorEntry } from './shapes.ts';

/** What an admin does with sensors. Each call rejects with ApiProblem. */
export interface NewSensor {
  readonly field: string;
  readonly name?: string;
  readonly position?: Corner;
  /** Seconds. */
  readonly interval: number;
  readonly role: 'sensor' | 'bridge';
}

/** A new secret, told once, and the line for a terminal that publishes with it (`SECRET` stands for the secret). */
export interface NewSecret {
  readonly secret: string;
  readonly command: string;
  readonly topic: string;
}

export async function postSensor(farm: string, id: string, description: NewSensor): Promise<NewSecret> {
  return readSecret(await call(`${farmPath(farm)}/sensors`, { method: 'POST', body: { id, ...description } }));
}

export async function putSensor(farm: string, id: string, description: NewSensor): Promise<void> {
  await call(sensorPath(farm, id), { method: 'PUT', body: description });
}

/** Gives a sensor another clock policy, if nobody changes the sensor meanwhile; `conflict` then. */
export async function putClock(
  farm: string,
  sensor: string,
  clock: NonNullable<ClockCondition['propose']>,
): Promise<void> {
  const path = sensorPath(farm, sensor);
  const { answer, version } = await callWithVersion(path);
  const { name, ...entry } = readSensorEntry(answer);
  const body = { ...entry, clock, ...(name === sensor ? {} : { name }) };
  await call(path, { method: 'PUT', body, ifMatch: version });
}

export async function postSecret(farm: string, id: string): Promise<NewSecret> {
  return readSecret(await call(`${sensorPath(farm, id)}/secret`, { method: 'POST' }));
}

export async function deleteSensor(farm: string, id: string): Promise<void> {
  await call(sensorPath(farm, id), { method: 'DELETE' });
}

function sensorPath(farm: string, id: string): string {
  return `${farmPath(farm)}/sensors/${encodeURIComponent(id)}`;
}

function readSecret(value: unknown): NewSecret {
  const answer = record(value, 'answer');
  const connection = record(answer.connection, 'connection');
  return {
    secret: text(answer.secret, 'secret'),
    command: text(connection.command, 'command'),
    topic: text(connection.topic, 'topic'),
  };
}
