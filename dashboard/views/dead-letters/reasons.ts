/** Reason codes of dead letters (the table in Loam's MQTT protocol), as an administrator calls them. */
const WORDS: Readonly<Record<string, string>> = {
  not_utf8: 'Not text',
  not_json: 'Not JSON',
  not_an_object: 'Not in the form of a reading',
  no_values: 'No values in it',
  bad_time: 'A time that cannot be right',
  time_required: 'No time given where one is needed',
  not_a_number: 'A value that is no number',
  not_finite: 'A value without an end',
  mixed_units: 'A metric in units that do not belong together',
  other_device: 'Of another device than its topic says',
  bad_name: 'A metric’s name that cannot be used',
  reserved_name: 'A metric’s name that is taken',
  double_name: 'A metric named twice',
  unknown_key: 'Something unknown in it',
  too_many_metrics: 'Too many metrics',
  too_many_readings: 'Too many readings at once',
  bad_topic: 'Sent to a topic that does not exist',
  wrong_topic: 'Sent to a topic that does not exist',
  unreadable_batch: 'A message in the queue that cannot be read',
  over_quota: 'More than are kept of one sensor',
  store_refused: 'The store did not take it',
  uplink_too_long: 'Longer than a LoRaWAN uplink can be',
  codec_failed: 'The codec failed on it',
  decoding_failed: 'It took too long to read, or stopped the reader',
  decoding_paused: 'The sensor’s others took too long to read',
  clock_doubted: 'Too many others waited for the clock to be set right',
  slow_queue_full: 'Too many others waited for a codec',
};

/** A reason in words; for a reason that this version does not know, its code. */
export function reasonInWords(code: string): string {
  const known = Object.hasOwn(WORDS, code) ? WORDS[code] : undefined;
  const words = code.replaceAll(/[_-]/g, ' ');
  return known ?? words.charAt(0).toUpperCase() + words.slice(1);
}
