import { explain } from '../../core/errors.ts';
import type { Refusals } from './decoded.ts';
import { mended } from './nearly-json.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The JSON value in a payload, or undefined when there is none; `refusals` then has the reason. */
export function parseJson(payload: Uint8Array, refusals: Refusals): { readonly value: unknown } | undefined {
  let text: string;
  try {
    text = utf8.decode(payload);
  } catch {
    refusals.add('not_utf8', '$', 'the payload is not UTF-8 text');
    return undefined;
  }
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    const found = parsedMended(text);
    if (found) return found;
    // The message shows some of the payload, and may begin or end in the middle of a surrogate pair.
    const message = explain(error)
      .slice(0, 200)
      .replace(/\p{Cs}/gu, '');
    refusals.add('not_json', '$', `the payload is not JSON: ${message}`);
    return undefined;
  }
}

function parsedMended(text: string): { readonly value: unknown } | undefined {
  const nearly = mended(text);
  if (nearly === undefined) return undefined;
  try {
    return { value: JSON.parse(nearly) };
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
