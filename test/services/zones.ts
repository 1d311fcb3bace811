import { DAY, offsetsOf } from '../../telemetry/calendar.ts';

const FROM = Date.UTC(1996, 0);
const TO = Date.UTC(2027, 0);

/** Zones whose clocks skip or repeat a midnight, or a day, or change by half an hour. */
export const AWKWARD_ZONES = [
  ...['Africa/Cairo', 'Asia/Beirut', 'Asia/Amman', 'America/Havana', 'America/Santiago', 'America/Asuncion'],
  ...['America/Sao_Paulo', 'Asia/Gaza', 'Asia/Tehran', 'Atlantic/Azores', 'Pacific/Apia', 'Australia/Lord_Howe'],
  ...['America/Nuuk', 'Africa/Casablanca', 'America/St_Johns', 'Europe/Berlin'],
];

/** When the clocks of a zone changed in 31 years, Unix ms, to the minute. */
export function clockChangesOf(zone: string): number[] {
  const offset = offsetsOf(zone);
  const found: number[] = [];
  const step = 20 * DAY;
  for (let from = FROM; from < TO; from += step) {
    let [low, high] = [from, from + step];
    const before = offset(low);
    if (before === offset(high)) continue;
    while (high - low > 60_000) {
      const middle = Math.floor((low + high) / 120_000) * 60_000;
      if (offset(middle) === before) low = middle;
      else high = middle;
    }
    found.push(high);
  }
  return found;
}
