import type { Command } from 'commander';
import { SETTINGS, type Setting, type SettingName } from '../core/settings.ts';

/** What the commands' words are made of. */

export const COMMON: SettingName[] = ['registry', 'logLevel'];
export const MQTT: SettingName[] = ['mqttHost', 'mqttPort'];

/** The settings of commands that talk to a running Loam. */
export const RUNNING: SettingName[] = ['data', 'url', 'token', 'logLevel'];

/** A command's action, which loads its code first. */
export function later<A extends unknown[]>(
  load: () => Promise<(...given: A) => unknown>,
): (...given: A) => Promise<void> {
  return async (...given) => {
    const action = await load();
    await action(...given);
  };
}

/** Gives a command these settings as options. */
export function withSettings(command: Command, names: SettingName[]): Command {
  for (const name of names) {
    const { option, help, variable, fallback } = SETTINGS[name] satisfies Setting;
    const usual = typeof fallback === 'string' ? `, default ${fallback}` : '';
    if (name === 'demo') command.option('--no-demo', `no demo farm and no demo sensors (${variable}=false)`);
    else command.option(option, `${help} (${variable}${usual})`);
  }
  return command;
}
