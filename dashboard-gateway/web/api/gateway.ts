import type { HistoryAnswer } from '../../client/series.ts';
import { call } from './http.ts';
import { type Me, readFarms, readHistory, readMe, readSensors, type SensorInfo } from './shapes.ts';

/** The gateway's HTTP calls. Each rejects with ApiProblem, or Unexpected when the answer has another shape. */

export async function getMe(): Promise<Me> {
  return readMe(await call('/api/me'));
}

export async function signIn(by: { user: string; password: string } | { token: string }): Promise<Me> {
  return readMe(await call('/api/login', { method: 'POST', body: by }));
}

export async function signOut(): Promise<void> {
  await call('/api/logout', { method: 'POST' });
}

export async function putPassword(password: string, current: string | undefined): Promise<void> {
  await call('/api/me/password', { method: 'PUT', body: { password, current } });
}

export async function getFarms(): Promise<ReturnType<typeof readFarms>> {
  return readFarms(await call('/api/farms'));
}

export async function getSensors(farm: string, signal: AbortSignal): Promise<SensorInfo[]> {
  return readSensors(await call(`/api/farms/${encodeURIComponent(farm)}/sensors`, { signal }));
}

export interface HistoryQuery {
  readonly farm: string;
  readonly sensor: string;
  readonly metric: string;
  /** Unix ms. */
  readonly from: number;
  readonly to: number;
  /** At most this many rows. */
  readonly points: number;
}

export async function getHistory(query: HistoryQuery, signal: AbortSignal): Promise<HistoryAnswer> {
  const { farm, sensor, metric, from, to, points } = query;
  const search = new URLSearchParams({ sensor, metric, from: `${from}`, to: `${to}`, points: `${points}` });
  return readHistory(await call(`/api/farms/${encodeURIComponent(farm)}/history?${search}`, { signal }));
}
