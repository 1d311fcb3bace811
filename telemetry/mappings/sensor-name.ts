import { ID } from '../reading.ts';

/** Longer names become no ids: they are not even read. */
const MOST_NAME = 256;

/**
 * The sensor's id that a foreign name becomes: `Device A` is `Device-A`, `Gewächshaus 1` is `Gewachshaus-1`. A name that is
 * an id stays as it is. Undefined when nothing is left of it.
 */
export function sensorIdOf(name: string): string | undefined {
  if (ID.test(name)) return name;
  if (name.length > MOST_NAME) return undefined;
  const id = name
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '')
    .replace(/[^A-Za-z0-9_.:-]+/g, '-')
    .replace(/^[^A-Za-z0-9]/, '')
    .replace(/-$/, '')
    .slice(0, 64);
  return ID.test(id) ? id : undefined;
}
