import { z } from 'zod';
import { ApiRefused, ConfigInvalid } from '../core/errors.ts';
import { clockWords } from '../telemetry/clock-words.ts';
import { clockPolicy } from '../telemetry/reading-rules-schema.ts';
import { Api } from './api.ts';
import { type Options, settingsOf } from './options.ts';
import { print } from './output.ts';
import { showThing } from './things.ts';

const finding = z.object({
  is: z.enum(['right', 'ahead', 'behind', 'jumps-back', 'wanders']),
  byMs: z.number().optional(),
  propose: clockPolicy.optional(),
});
const sensors = z.object({ sensors: z.array(z.object({ id: z.string(), clockFinding: finding.optional() })) });
type Found = z.infer<typeof finding>;

/** `loam sensor show`: what the registry has, and what a running Loam has found of the sensor's clock. */
export async function showSensor(id: string, options: Options): Promise<void> {
  const whole = await showThing('sensor', id, options);
  const farm = whole.slice(0, whole.indexOf('/'));
  const found = await findingOf(farm, id, options);
  if (typeof found === 'string') print(`# what its clock is like is not known: ${found}\n`);
  else
    print(
      linesOf(found, farm, id)
        .map((line) => `# ${line}\n`)
        .join(''),
    );
}

/** What was found of the clock, or why nothing is known. The registry alone can be shown while no Loam is running. */
async function findingOf(farm: string, id: string, options: Options): Promise<Found | string> {
  try {
    const api = await Api.open(settingsOf(options));
    const answer = await api.call(`/api/farms/${encodeURIComponent(farm)}/sensors`, sensors);
    return answer.sensors.find((one) => one.id === id)?.clockFinding ?? 'it has told no time lately';
  } catch (error) {
    if (error instanceof ConfigInvalid || error instanceof ApiRefused) return error.message;
    throw error;
  }
}

function linesOf({ is, byMs = 0, propose }: Found, farm: string, id: string): string[] {
  const words = clockWords(is, byMs);
  if (propose === undefined) return [words];
  const change = `loam sensor change ${id} --farm ${farm} --clock ${typeof propose === 'object' ? wordOf(propose.offset) : propose}`;
  const ask = typeof propose === 'object' ? 'correct by that?' : 'date its readings by their receipt?';
  return [`${words}: ${ask}  ${change}`];
}

function wordOf(offset: number): string {
  return offset < 0 ? `ahead=${-offset}` : `behind=${offset}`;
}
