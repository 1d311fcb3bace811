import { computed } from '@preact/signals';
import type { Corner } from '../api/shapes.ts';
import { formatValue } from '../format/value.ts';
import { misplacedOf } from '../plan/misplaced.ts';
import { scaledLength } from '../plan/project.ts';
import { locale } from './device.ts';
import { fields } from './fields.ts';
import { positionOf } from './sensors.ts';
import { unitSystem } from './settings.ts';

const OF_FIELD = 'field ';
const OF_SENSOR = 'sensor ';

/** Fields come first: somebody drew them on a map. */
const misplaced = computed(() => {
  const outlines = fields.value.flatMap(({ id, polygon }) => {
    const [corner] = polygon ?? [];
    return corner ? [{ id: `${OF_FIELD}${id}`, at: corner }] : [];
  });
  const places = fields.value.flatMap((field) =>
    field.sensors.flatMap((id) => {
      const at = positionOf(id);
      return at ? [{ id: `${OF_SENSOR}${id}`, at }] : [];
    }),
  );
  return new Map(misplacedOf([...outlines, ...places]).map(({ id, metres }) => [id, metres]));
});

/** Where a sensor stands, for the plan: a position that cannot be right is none. */
export function plannedPositionOf(sensor: string): Corner | undefined {
  return misplaced.value.has(`${OF_SENSOR}${sensor}`) ? undefined : positionOf(sensor);
}

/** A field's outline, for the plan: one that cannot be right is none. */
export function plannedOutlineOf(field: string, polygon: readonly Corner[] | undefined): readonly Corner[] | undefined {
  return misplaced.value.has(`${OF_FIELD}${field}`) ? undefined : polygon;
}

/** "its position is 5,000 km from the others"; undefined for a sensor whose position may be right. */
export function wrongPlaceOf(sensor: string): string | undefined {
  return wordsOf('its position', misplaced.value.get(`${OF_SENSOR}${sensor}`));
}

/** Sensors and fields that are not on the plan because of their positions: ids, and what is wrong with each. */
export const offThePlan = computed(() =>
  [...misplaced.value].map(([key, metres]) => {
    const isField = key.startsWith(OF_FIELD);
    const id = key.slice((isField ? OF_FIELD : OF_SENSOR).length);
    return { id, isField, words: wordsOf(isField ? 'its outline' : 'its position', metres) ?? '' };
  }),
);

function wordsOf(what: string, metres: number | undefined): string | undefined {
  if (metres === undefined) return undefined;
  const { count, unit } = scaledLength(metres, unitSystem.value);
  // Two digits say enough of what is wrong.
  return `${what} is ${formatValue(Number(count.toPrecision(2)), 0, locale)} ${unit} from the others`;
}
