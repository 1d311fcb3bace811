import { RANGE_IDS, type RangeId } from '../chart/ranges.ts';

/** What an address shows. The farm plan, field views, playback and the admin pages become further members. */
export type Route =
  | { readonly page: 'home' }
  | { readonly page: 'farm'; readonly farm: string }
  | {
      readonly page: 'sensor';
      readonly farm: string;
      readonly sensor: string;
      readonly metric: string | undefined;
      readonly range: RangeId;
    }
  | { readonly page: 'unknown'; readonly path: string };

const DEFAULT_RANGE: RangeId = '1h';

/** Reads an address: `/`, `/farms/{farm}` or `/farms/{farm}/sensors/{sensor}?metric=…&range=1h`. */
export function parseRoute(path: string, search: string): Route {
  const unknown: Route = { page: 'unknown', path };
  const parts = decode(path.replace(/^\/|\/$/g, '').split('/'));
  if (parts === undefined) return unknown;
  const [first, farm, kind, sensor, ...rest] = parts;
  if (first === '' && farm === undefined) return { page: 'home' };
  if (first !== 'farms' || !farm || rest.length > 0) return unknown;
  if (kind === undefined) return { page: 'farm', farm };
  if (kind !== 'sensors' || !sensor) return unknown;
  const query = new URLSearchParams(search);
  const range = RANGE_IDS.find((r) => r === query.get('range')) ?? DEFAULT_RANGE;
  return { page: 'sensor', farm, sensor, metric: query.get('metric') ?? undefined, range };
}

/** The address of a route; parseRoute reads it back. */
export function addressOf(route: Exclude<Route, { page: 'unknown' }>): string {
  switch (route.page) {
    case 'home':
      return '/';
    case 'farm':
      return `/farms/${segment(route.farm)}`;
    case 'sensor': {
      const query = new URLSearchParams();
      if (route.metric !== undefined) query.set('metric', route.metric);
      if (route.range !== DEFAULT_RANGE) query.set('range', route.range);
      const search = query.toString();
      return `/farms/${segment(route.farm)}/sensors/${segment(route.sensor)}${search && `?${search}`}`;
    }
  }
}

/** Ids may contain dots, but the gateway takes a path with a dot for the name of a file. */
function segment(id: string): string {
  return encodeURIComponent(id).replaceAll('.', '%2E');
}

function decode(parts: string[]): string[] | undefined {
  try {
    return parts.map(decodeURIComponent);
  } catch {
    return undefined;
  }
}
