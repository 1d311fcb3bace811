import { z } from 'zod';
import { ConfigInvalid } from '../core/errors.ts';
import { Api } from './api.ts';
import { type Options, onlyFarm, positive, settingsOf, text } from './options.ts';
import { print, printRow } from './output.ts';

const farms = z.object({ farms: z.array(z.object({ id: z.string() })) });
const sensors = z.object({ sensors: z.array(z.object({ id: z.string() })) });
const command = z.object({
  id: z.string(),
  state: z.enum(['queued', 'delivered', 'expired']),
  command: z.json(),
  by: z.string(),
  ts: z.number(),
  expires: z.number(),
  deliveredAt: z.number().nullable(),
});
const list = z.object({ commands: z.array(command) });

/** `loam sensor send`: sends a command through a running Loam and prints its id. */
export async function sendCommand(id: string, json: string, options: Options): Promise<void> {
  let wanted: unknown;
  try {
    wanted = JSON.parse(json);
  } catch (cause) {
    throw new ConfigInvalid(
      '<json>',
      `<json>: got ${JSON.stringify(json)}, allowed: JSON, such as '{"valve":"open"}'`,
      { cause },
    );
  }
  const ttl = text(options, 'ttl');
  const api = await Api.open(settingsOf(options));
  const path = await pathOf(api, id, options);
  const body = { command: wanted, ...(ttl === undefined ? {} : { ttl: positive('--ttl', ttl) }) };
  const sent = await api.call(path, command, { method: 'POST', body });
  print(
    `Command ${sent.id} is queued for ${id}, until ${new Date(sent.expires).toISOString()}. What became of it: loam sensor commands ${id}\n`,
  );
}

/** `loam sensor commands`: one line a command, newest first. */
export async function listCommands(id: string, options: Options): Promise<void> {
  const api = await Api.open(settingsOf(options));
  const { commands } = await api.call(await pathOf(api, id, options), list);
  if (commands.length === 0) print(`No command for ${id} is remembered.\n`);
  for (const { id: commandId, state, ts, deliveredAt, by, command: sent } of commands) {
    const since = state === 'delivered' ? (deliveredAt ?? ts) : ts;
    printRow([commandId, state, new Date(since).toISOString(), by, JSON.stringify(sent)]);
  }
}

/** The API path of a sensor's commands. Without --farm, the sensor is that of the only farm that has one of this id. */
async function pathOf(api: Api, id: string, options: Options): Promise<string> {
  const path = (farm: string) => `/api/farms/${encodeURIComponent(farm)}/sensors/${encodeURIComponent(id)}/commands`;
  const given = text(options, 'farm');
  if (given !== undefined) return path(given);
  const having: string[] = [];
  for (const farm of (await api.call('/api/farms', farms)).farms) {
    const there = await api.call(`/api/farms/${encodeURIComponent(farm.id)}/sensors`, sensors);
    if (there.sensors.some((sensor) => sensor.id === id)) having.push(farm.id);
  }
  return path(onlyFarm(id, having));
}
