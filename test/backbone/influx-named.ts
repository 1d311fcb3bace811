/** An InfluxDB 2 or 3 that somebody runs, with buckets for tests. */
export interface NamedInflux {
  storeUrl(bucket: string): string;
  make(bucket: string): Promise<void>;
  remove(bucket: string): Promise<void>;
}

/**
 * The server that `LOAM_TEST_INFLUX2_URL` or `LOAM_TEST_INFLUX3_URL` names, as `http[s]://host:port?org=ORG&token=TOKEN` with a token that
 * may make and delete buckets; undefined when none is named.
 */
export function namedInflux(generation: 2 | 3): NamedInflux | undefined {
  const given = process.env[`LOAM_TEST_INFLUX${generation}_URL`];
  return given ? influxAt(generation, given) : undefined;
}

/** As `namedInflux`, at an address of that form. */
export function influxAt(generation: 2 | 3, given: string): NamedInflux {
  const url = new URL(given);
  const [org, token] = [url.searchParams.get('org') ?? '', url.searchParams.get('token') ?? ''];
  const headers = { authorization: `Token ${token}`, 'content-type': 'application/json' };
  const call = async (method: string, path: string, body?: object): Promise<string> => {
    const answer = await fetch(`${url.origin}${path}`, {
      method,
      headers,
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text;
  };
  const idOf = async (path: string, list: 'orgs' | 'buckets'): Promise<string> => {
    const found: Record<string, { id: string }[]> = JSON.parse(await call('GET', path));
    return found[list]?.[0]?.id ?? '';
  };
  const ids = new Map<string, string>();
  return {
    storeUrl: (bucket) => {
      const scheme = url.protocol === 'https:' ? 'influxs' : 'influx';
      const options = new URLSearchParams({ token, ...(org && { org }) });
      return `${scheme}://${url.host}/${encodeURIComponent(bucket)}?${options}`;
    },
    make: async (bucket) => {
      if (generation === 3) {
        await call('POST', '/api/v3/configure/database', { db: bucket });
        return;
      }
      const orgID = await idOf(`/api/v2/orgs?org=${encodeURIComponent(org)}`, 'orgs');
      const made: { id: string } = JSON.parse(await call('POST', '/api/v2/buckets', { orgID, name: bucket }));
      ids.set(bucket, made.id);
    },
    remove: async (bucket) => {
      const path =
        generation === 3
          ? `/api/v3/configure/database?db=${encodeURIComponent(bucket)}`
          : `/api/v2/buckets/${ids.get(bucket) ?? ''}`;
      await call('DELETE', path);
    },
  };
}
