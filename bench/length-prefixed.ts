import type { Batch, Publish } from '../telemetry/batch.ts';

/**
 * The least that an encoding can be, to measure the others by: the id and each publish's texts and payload as length (32 bits)
 * and bytes, `received` as a float of 64 bits.
 */
export function packRows(batch: Batch): Uint8Array {
  let size = 8 + Buffer.byteLength(batch.id);
  for (const p of batch.publishes)
    size += 28 + texts(p).reduce((sum, text) => sum + Buffer.byteLength(text), 0) + p.payload.length;
  const out = Buffer.allocUnsafe(size);
  let at = writeText(out, batch.id, 0);
  at = out.writeUInt32LE(batch.publishes.length, at);
  for (const p of batch.publishes) {
    for (const text of texts(p)) at = writeText(out, text, at);
    at = out.writeUInt32LE(p.payload.length, at);
    out.set(p.payload, at);
    at = out.writeDoubleLE(p.received, at + p.payload.length);
  }
  return out;
}

/** The batch that `packRows` packed. Throws RangeError when the bytes end too early. */
export function unpackRows(bytes: Uint8Array): Batch {
  const from = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const slice = (): Buffer => {
    const begin = at + 4;
    at = begin + from.readUInt32LE(at);
    if (at > from.length) throw new RangeError('the bytes end too early');
    return from.subarray(begin, at);
  };
  const text = () => slice().toString('utf8');
  const id = text();
  const count = from.readUInt32LE(at);
  at += 4;
  const publishes: Publish[] = [];
  for (let i = 0; i < count; i++) {
    const row = { farm: text(), field: text(), sensor: text(), topic: text(), payload: slice() };
    publishes.push({ ...row, received: from.readDoubleLE(at) });
    at += 8;
  }
  return { id, publishes };
}

function texts(p: Publish): string[] {
  return [p.farm, p.field, p.sensor, p.topic];
}

function writeText(out: Buffer, text: string, at: number): number {
  const length = out.write(text, at + 4, 'utf8');
  out.writeUInt32LE(length, at);
  return at + 4 + length;
}
