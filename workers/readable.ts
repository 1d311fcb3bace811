import { EncodingInvalid } from '../core/errors.ts';
import { type Batch, decodeBatch } from '../telemetry/batch.ts';

/** The batch in a queue message; undefined when it is none. */
export function readable(body: Uint8Array): Batch | undefined {
  try {
    return decodeBatch(body);
  } catch (error) {
    if (!(error instanceof EncodingInvalid)) throw error;
    return undefined;
  }
}
