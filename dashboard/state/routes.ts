import { type ChartRange, DEFAULT_RANGE, fixedRange, RANGE_IDS } from '../chart/ranges.ts';

/** What an address shows. */
export type PageRoute =
  | { readonly page: 'home' }
  | { readonly page: 'farm'; readonly farm: string }
  | {
      readonly page: 'field';
      readonly farm: string;
      readonly field: string;
      readonly metric: string | undefined;
      readonly range: ChartRange;
    }
  | { readonly page: 'sensor'; readonly farm: string; readonly sensor: string; readonly range: ChartRange }
  | {
      readonly page: 'playback';
      readonly farm: string;
      /** `2026-03-01`, by the farm's calendar; absent: today. */
      readonly day: string | undefined;
      readonly metric: string | undefined;
    }
  | { readonly page: 'sensors'; readonly farm: string }
  | { readonly page: 'dead-letters'; readonly farm: string }
  | { readonly page: 'events'; readonly farm: string }
  | { readonly page: 'system' }
  | { readonly page: 'account' }
  | { readonly page: 'unknown'; readonly path: string };

export type KnownRoute = Exclude<PageRoute, { page: 'unknown' }>;

/** Reads an address; addressOf writes them. */
export function parseRoute(path: string, search: string): PageRoute {
  const unknown: PageRoute = { page: 'unknown', path };
  const parts = decode(path.replace(/^\/|\/$/g, '').split('/'));
  if (parts === undefined) return unknown;
  const [first = '', farm, kind, id, ...rest] = parts;
  if (farm === undefined) return parseTop(first) ?? unknown;
  if (first !== 'farms' || farm === '' || rest.length > 0) return unknown;
  return parseOfFarm(farm, kind, id, new URLSearchParams(search)) ?? unknown;
}

function parseTop(name: string): PageRoute | undefined {
  if (name === '') return { page: 'home' };
  return name === 'system' || name === 'account' ? { page: name } : undefined;
}

function parseOfFarm(farm: string, kind: string | undefined, id: string | undefined, query: URLSearchParams) {
  const metric = query.get('metric') ?? undefined;
  if (kind === undefined) return { page: 'farm', farm } as const;
  if (id === undefined) {
    if (kind === 'sensors' || kind === 'dead-letters' || kind === 'events') return { page: kind, farm } as const;
    if (kind === 'playback') return { page: kind, farm, metric, day: parseDay(query.get('day')) } as const;
    return undefined;
  }
  if (id === '') return undefined;
  if (kind === 'sensors') return { page: 'sensor', farm, sensor: id, range: parseRange(query) } as const;
  if (kind === 'fields') return { page: 'field', farm, field: id, metric, range: parseRange(query) } as const;
  return undefined;
}

function parseDay(text: string | null): string | undefined {
  return text !== null && /^\d{4}-\d\d-\d\d$/.test(text) ? text : undefined;
}

function parseRange(query: URLSearchParams): ChartRange {
  const from = Date.parse(query.get('from') ?? '');
  const to = Date.parse(query.get('to') ?? '');
  if (from < to) return fixedRange(from, to);
  return { last: RANGE_IDS.find((r) => r === query.get('range')) ?? DEFAULT_RANGE };
}

/** The address of a route; parseRoute reads it back. */
export function addressOf(route: KnownRoute): string {
  switch (route.page) {
    case 'home':
      return '/';
    case 'system':
    case 'account':
      return `/${route.page}`;
    case 'farm':
      return `/farms/${segment(route.farm)}`;
    case 'sensors':
    case 'dead-letters':
    case 'events':
      return `/farms/${segment(route.farm)}/${route.page}`;
    case 'playback':
      return withQuery(`/farms/${segment(route.farm)}/playback`, { day: route.day, metric: route.metric });
    case 'sensor':
      return withQuery(`/farms/${segment(route.farm)}/sensors/${segment(route.sensor)}`, queryOf(route.range));
    case 'field':
      return withQuery(`/farms/${segment(route.farm)}/fields/${segment(route.field)}`, {
        metric: route.metric,
        ...queryOf(route.range),
      });
  }
}

function queryOf(range: ChartRange): Record<string, string | undefined> {
  if ('last' in range) return { range: range.last === DEFAULT_RANGE ? undefined : range.last };
  return { from: new Date(range.from).toISOString(), to: new Date(range.to).toISOString() };
}

function withQuery(path: string, query: Record<string, string | undefined>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, value);
  return search.size > 0 ? `${path}?${search}` : path;
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
