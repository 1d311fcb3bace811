import { computed } from '@preact/signals';
import type { Corner } from '../api/shapes.ts';
import { farm } from './farms.ts';
import { sensors } from './sensors.ts';

/** A field with its sensors' ids, by name. */
export interface FieldSensors {
  readonly id: string;
  readonly name: string;
  readonly crop: string | undefined;
  readonly polygon: readonly Corner[] | undefined;
  readonly main: readonly string[];
  readonly sensors: readonly string[];
}

/** Where the gateway puts sensors that a bridge brought and nobody registered. */
export const UNASSIGNED = 'unassigned';

/** Fields in the registry's order, those without sensors too; sensors of no known field come last. */
export const fields = computed<readonly FieldSensors[]>(() => {
  const known = farm.value?.fields ?? [];
  const ids = new Set(known.map((f) => f.id));
  const byField = new Map<string, string[]>();
  // Only which sensors there are and what they are called matters here: new values must not sort them again.
  const named = [...sensors.value].map(([id, view]) => ({ id, name: view.peek().name, field: view.peek().field }));
  named.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  for (const { id, field } of named) {
    const place = field !== undefined && ids.has(field) ? field : UNASSIGNED;
    const list = byField.get(place) ?? [];
    list.push(id);
    byField.set(place, list);
  }
  const nowhere = { id: UNASSIGNED, name: 'Not assigned to a field', crop: undefined, polygon: undefined, main: [] };
  const all = ids.has(UNASSIGNED) ? known : [...known, nowhere];
  return all
    .map((f) => ({ ...f, sensors: byField.get(f.id) ?? [] }))
    .filter((f) => f.id !== UNASSIGNED || f.sensors.length > 0);
});
