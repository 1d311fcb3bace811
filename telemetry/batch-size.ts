/** A broker ends a batch at so many bytes of publishes. So a queue message is longer than that by one payload at most, and little besides. */
export const BATCH_BYTES = 512 * 1000;

/** Largest payload of a publish that is taken whole, bytes, unless `LOAM_PAYLOAD_KB` says otherwise. */
export const USUAL_PAYLOAD_BYTES = 256 * 1024;
