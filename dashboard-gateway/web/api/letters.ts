import { finite, isRecord, listOf, optional, record, text } from '../../client/check.ts';
import { farmPath } from './gateway.ts';
import { call } from './http.ts';

/** A message that could not be taken: why, and what it was. */
export interface Letter {
  /** Its number in the log: what to name it by. */
  readonly offset: number;
  /** When it was set aside, Unix ms. */
  readonly at: number;
  readonly sensor: string | undefined;
  readonly topic: string | undefined;
  readonly reason: string;
  readonly explanation: string;
  /** As text where it is one, otherwise in hexadecimal. */
  readonly payload: string;
}

export async function getLetters(farm: string, signal: AbortSignal): Promise<Letter[]> {
  const answer = record(await call(`${farmPath(farm)}/dead-letters`, { signal }), 'answer');
  return listOf(answer.letters, 'letters', readLetter);
}

export async function actOnLetter(farm: string, offset: number, act: 'replay' | 'discard'): Promise<void> {
  await call(`${farmPath(farm)}/dead-letters/${offset}/${act}`, { method: 'POST' });
}

function readLetter(value: unknown, path: string): Letter {
  const letter = record(value, path);
  return {
    offset: finite(letter.offset, `${path}.offset`),
    at: finite(letter.at, `${path}.at`),
    sensor: optional(letter.sensor, `${path}.sensor`, text),
    topic: optional(letter.topic, `${path}.topic`, text),
    reason: text(letter.reason, `${path}.reason`),
    explanation: optional(letter.explanation, `${path}.explanation`, text) ?? '',
    payload: payloadOf(letter.payload),
  };
}

function payloadOf(value: unknown): string {
  if (typeof value === 'string') return value;
  return isRecord(value) || Array.isArray(value) ? JSON.stringify(value) : '';
}
