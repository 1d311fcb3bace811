/** The fixed header of MQTT 3.1.1 (2.2): packet type and flags in one byte, then the remaining length in one to four. */
const CONNECT = 1;
const PUBLISH = 3;
const PUBREL = 6;
const DISCONNECT = 14;

/** Length of the packet at `at`, in bytes. Undefined when its header is not complete; NaN when it is not MQTT. */
export function packetLength(bytes: Buffer, at: number): number | undefined {
  let length = 0;
  for (let i = 0; i < 4; i++) {
    const byte = bytes[at + 1 + i];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 128 ** i;
    if ((byte & 0x80) === 0) return 2 + i + length;
  }
  return Number.NaN;
}

export function isConnect(firstByte: number | undefined): boolean {
  return firstByte !== undefined && firstByte >> 4 === CONNECT;
}

export function isPublish(firstByte: number | undefined): boolean {
  return firstByte !== undefined && firstByte >> 4 === PUBLISH;
}

export function isPubrel(firstByte: number | undefined): boolean {
  return firstByte !== undefined && firstByte >> 4 === PUBREL;
}

export function isDisconnect(firstByte: number | undefined): boolean {
  return firstByte !== undefined && firstByte >> 4 === DISCONNECT;
}

/** Whether a publish's first byte says QoS 0. */
export function isBestEffort(firstByte: number | undefined): boolean {
  return firstByte !== undefined && (firstByte & 0b110) === 0;
}
