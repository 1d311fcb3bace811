import type { Edit } from '../../telemetry/registry/registry.ts';

/** Edits for tests of a registry. */

export const farm = (id = 'north'): Edit => ({
  kind: 'farm',
  id,
  value: { id, name: `Farm ${id}`, timezone: 'Europe/Berlin' },
});

export const field = (id: string, of = 'north'): Edit => ({
  kind: 'field',
  id: `${of}/${id}`,
  value: { id, farm: of, name: `Field ${id}` },
});

export const sensor = (id: string, more: Readonly<Record<string, unknown>> = {}, of = 'north'): Edit => ({
  kind: 'sensor',
  id: `${of}/${id}`,
  value: { id, farm: of, ...more },
});

export const user = (name: string, farms: Readonly<Record<string, string>> = { north: 'viewer' }): Edit => ({
  kind: 'user',
  id: name,
  value: { name, farms },
});

export const removal = ({ kind, id }: Edit): Edit => ({ kind, id, value: null });

/** A SHA-256 that nobody else has. */
export const hash = (number: number): string => number.toString(16).padStart(64, '0');

/** The farm `north` with the sensors s0 to s(count - 1). */
export const farmOf = (count: number): Edit[] => [
  farm(),
  ...Array.from({ length: count }, (_, number) => sensor(`s${number}`)),
];
