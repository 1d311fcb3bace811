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
  const found = new Map<string, number>();
  const outlines = fields.value.flatMap(({ id: field, polygon = [] }) => {
    const id = `${OF_FIELD}${field}`;
    // One corner that is far from its own field's is enough to spoil the scale.
    const [wild] = misplacedOf(polygon.map((at, i) => ({ id: `${i}`, at })));
    if (wild) found.set(id, wild.metres);
    const [corner] = polygon;
    return wild === undefined && corner ? [{ id, at: corner }] : [];
  });
  const places = fields.value.flatMap((field) =>
    field.sensors.flatMap((id) => {
      const at = positionOf(id);
      return at ? [{ id: `${OF_SENSOR}${id}`, at }] : [];
    }),
  );
  for (const { id, metres } of misplacedOf([...outlines, ...places])) found.set(id, metres);
  return found;
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
  return wordsOf('its position', 'the others', misplaced.value.get(`${OF_SENSOR}${sensor}`));
}

/** Sensors and fields that are not on the plan because of their positions: ids, and what is wrong with each. */
export const offThePlan = computed(() =>
  [...misplaced.value].map(([key, metres]) => {
    const isField = key.startsWith(OF_FIELD);
    const id = key.slice((isField ? OF_FIELD : OF_SENSOR).length);
    return {
      id,
      isField,
      words: (isField ? wordsOf('a corner', 'the rest', metres) : wordsOf('its position', 'the others', metres)) ?? '',
    };
  }),
);

function wordsOf(what: string, rest: string, metres: number | undefined): string | undefined {
  if (metres === undefined) return undefined;
  const { count, unit } = scaledLength(metres, unitSystem.value);
  // Two digits say enough of what is wrong.
  return `${what} is ${formatValue(Number(count.toPrecision(2)), 0, locale)} ${unit} from ${rest}`;
}
