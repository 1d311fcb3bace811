import { type Config, loadConfig } from '../core/config.ts';
import { ConfigInvalid } from '../core/errors.ts';
import { SETTINGS } from '../core/settings.ts';

/** What commander read of a command's options, by name. */
export type Options = Readonly<Record<string, unknown>>;

/** The settings: those among a command's options win over those of the environment. Throws ConfigInvalid. */
export function settingsOf(options: Options): Config {
  const given: Record<string, string | undefined> = {};
  for (const name of Object.keys(SETTINGS)) {
    const value = options[name];
    if (typeof value === 'string') given[name] = value;
  }
  if (options.demo === false) given.demo = 'false';
  return loadConfig(given);
}

/** A text option, or undefined when it was left out. */
export function text(options: Options, name: string): string | undefined {
  const value = options[name];
  return typeof value === 'string' ? value : undefined;
}

/** The texts of an option that may be given several times. */
export function texts(options: Options, name: string): readonly string[] {
  const value = options[name];
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.filter((one) => typeof one === 'string');
}

/** Pairs such as `NAME=VALUE`, parted at the last "=". Throws ConfigInvalid. */
export function pairsOf(option: string, given: readonly string[]): [string, string][] {
  return given.map((pair) => {
    const at = pair.lastIndexOf('=');
    if (at > 0 && at < pair.length - 1) return [pair.slice(0, at), pair.slice(at + 1)];
    throw new ConfigInvalid(option, `${option}: got ${JSON.stringify(pair)}, allowed: NAME=VALUE`);
  });
}

/** Reads an option that must be a positive number. Throws ConfigInvalid. */
export function positive(option: string, text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new ConfigInvalid(option, `${option}: got ${JSON.stringify(text)}, allowed: a number greater than 0`);
}

/**
 * The only farm of `having`, the farms that have a sensor or field `id`. Throws ConfigInvalid when there is none, or when
 * there are several: then the command needs --farm.
 */
export function onlyFarm(id: string, having: readonly string[], what = 'sensor'): string {
  const [farm] = having;
  if (farm === undefined) throw new ConfigInvalid('<id>', `<id>: no farm has a ${what} "${id}": loam ${what} list`);
  if (having.length === 1) return farm;
  throw new ConfigInvalid(
    '--farm',
    `--farm: is needed, for several farms have a ${what} "${id}": ${having.join(', ')}`,
  );
}
