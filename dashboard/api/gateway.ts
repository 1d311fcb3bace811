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
  return readSensors(await call(`${farmPath(farm)}/sensors`, { signal }));
}

export interface HistoryParameters {
  readonly farm: string;
  /** Either `sensor` or `field` is given. */
  readonly sensor?: string;
  readonly field?: string;
  readonly metric: string;
  /** Unix ms. */
  readonly from: number;
  readonly to: number;
  /** At most this many rows. */
  readonly points: number;
}

export async function getHistory(query: HistoryParameters, signal: AbortSignal): Promise<HistoryAnswer> {
  const { farm, sensor, field, metric, from, to, points } = query;
  const search = new URLSearchParams({ metric, from: `${from}`, to: `${to}`, points: `${points}` });
  if (sensor !== undefined) search.set('sensor', sensor);
  if (field !== undefined) search.set('field', field);
  return readHistory(await call(`${farmPath(farm)}/history?${search}`, { signal }));
}

export function farmPath(farm: string): string {
  return `/api/farms/${encodeURIComponent(farm)}`;
}

/** The address from which every reading in a range of time can be downloaded. */
export function csvAddress(
  farm: string,
  of: { readonly sensor: string } | { readonly field: string },
  { from, to }: { readonly from: number; readonly to: number },
): string {
  const search = new URLSearchParams({ ...of, from: `${Math.round(from)}`, to: `${Math.round(to)}` });
  return `${farmPath(farm)}/export.csv?${search}`;
}
