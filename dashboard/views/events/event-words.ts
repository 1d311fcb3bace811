import { refusalWords } from '../../../telemetry/refusal-words.ts';
import type { ShownEvent } from '../../api/events.ts';
import { formatMoment } from '../../format/time.ts';

/** Which events are shown: the words of a choice, and the kinds that belong to it. */
export const EVENT_CHOICES = [
  { words: 'All', kinds: [] },
  { words: 'Refused', kinds: ['mqtt_refused', 'sign_in_refused', 'taken_over'] },
  {
    words: 'People',
    kinds: [
      'signed_in',
      'signed_out',
      'password_changed',
      'imported',
      'exported',
      'command_sent',
      'letter_replayed',
      'letter_discarded',
    ],
  },
  { words: 'Changes', kinds: ['registry_changed'] },
  { words: 'Overwritten', kinds: ['overwritten'] },
] as const;

const TITLES: Readonly<Record<string, string>> = {
  signed_in: 'Signed in',
  signed_out: 'Signed out',
  password_changed: 'New password',
  imported: 'Imported',
  exported: 'Exported',
  command_sent: 'Command sent',
  letter_replayed: 'Dead letter replayed',
  letter_discarded: 'Dead letter discarded',
  mqtt_refused: 'Device refused',
  sign_in_refused: 'Sign-in refused',
  taken_over: 'Connection taken over',
  overwritten: 'Value overwritten',
  registry_changed: 'Changed',
};

/** What happened, in a few words. */
export function eventTitle({ kind, why, count, change, values }: ShownEvent): string {
  const title = TITLES[kind] ?? kind.replaceAll('_', ' ');
  const about = change ? ` ${change.thing} ${change.id}` : values ? ` ${values.metric}` : '';
  const reason = why === undefined ? '' : `: ${refusalWords(why).words}`;
  return `${title}${about}${reason}${count > 1 ? ` (${count} times)` : ''}`;
}

/** A line for each thing that is to be said of it beyond the title. */
export function eventLines(
  { what, values, change }: ShownEvent,
  now: number,
  locale: string | undefined,
  zone: string,
): string[] {
  if (values) return [`${values.old} → ${values.new}, measured ${formatMoment(values.ts, now, locale, zone)}`];
  if (change) return Object.entries(change.keys).map(([key, pair]) => `${key}: ${pairInWords(pair)}`);
  return what === undefined ? [] : [what];
}

function pairInWords(pair: unknown): string {
  const [old, fresh]: unknown[] = Array.isArray(pair) ? pair : [null, null];
  return `${shownValue(old)} → ${shownValue(fresh)}`;
}

function shownValue(value: unknown): string {
  if (value === null || value === undefined) return '–';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
