import type { Draw } from './draw.ts';

/** Texts as sensors and people write them, and the same with parts of them repeated until they fill the room that there is. */

const UNITS = ['°C', '% RH', 'mm H2O', 'µg/m³', 'm3/m3', 'm³⋅m⁻³', 'µmol/m2/s', 'inHg', 'kΩ', '/min', '°F', 'S/m', 'L'];
const WORDS = [
  'open',
  'probe',
  'Berlin',
  'soil_moisture',
  'SoilTemp',
  'pH',
  'CO2Level',
  'NaN',
  'none',
  'at',
  'of',
  'e',
];
/** Characters that mean something to one reader or another, or to Unicode. */
const SIGNS = [
  ...'0159.,:;+-−–eExX×*^/\\%°()[]{}"\' \t\n\u00a0\u200b\ufeff_#@$~|&=<>aZµéßİı①²⁻\u0301\ud83d\ude00\ud800\udc00\u0000',
];
const ZONES = ['', 'Z', ' UTC', '+02:00', '-0330', '+14', '+99:99'];

/** A text of a few characters. */
export function phrase(draw: Draw): string {
  return draw.one([number, quantity, quantity, date, address, version, sentence, noise, topic])(draw);
}

/** A phrase or two, in most cases with a part repeated so that it has up to `room` characters, now and then a little more. */
export function text(draw: Draw, room: number): string {
  let made = phrase(draw);
  if (draw.chance(0.2)) made += draw.one(['', ' ', '/']) + phrase(draw);
  for (let times = draw.whole(0, 2); times > 0; times--) made = stretched(draw, made, room - made.length);
  return made;
}

/** `given` with a part of up to eight characters repeated in its place, so that it grows by up to `room` characters. */
export function stretched(draw: Draw, given: string, room: number): string {
  const at = draw.whole(0, Math.max(0, given.length - 1));
  const part = given.slice(at, at + draw.size(8));
  if (part === '' || room < part.length) return given;
  return given.slice(0, at) + part.repeat(draw.size(room / part.length)) + given.slice(at);
}

export function number(draw: Draw): string {
  const sign = draw.one(['', '', '', '-', '+', '−']);
  const grouped = draw.chance(0.1) ? draw.one([' 013', '.000', ',234', '’500']).repeat(draw.whole(1, 3)) : '';
  const decimals = draw.chance(0.5) ? `${draw.one(['.', '.', '.', ','])}${draw.whole(0, 9_999)}` : '';
  const exponent = draw.chance(0.1) ? `${draw.one(['e', 'E', 'x10^', '·10'])}${draw.whole(-20, 400)}` : '';
  return `${sign}${draw.whole(0, 10 ** draw.whole(1, 6))}${grouped}${decimals}${exponent}`;
}

function quantity(draw: Draw): string {
  const at = draw.chance(0.2) ? draw.one([' at 25 °C', ' @25C', ' at 77 F', '.']) : '';
  const unit = draw.one(UNITS);
  return `${number(draw)}${draw.one(['', ' ', ' ', '\u00a0'])}${draw.chance(0.1) ? `(${unit})` : unit}${at}`;
}

export function date(draw: Draw): string {
  const two = (most: number) => String(draw.whole(0, most)).padStart(2, '0');
  const day = `${draw.chance(0.5) ? 2025 : draw.whole(1990, 2210)}-${two(13)}-${two(32)}`;
  if (draw.chance(0.2)) return day;
  const fraction = draw.chance(0.5) ? `${draw.one(['.', ','])}${draw.whole(0, 999_999_999)}` : '';
  return `${day}${draw.one(['T', ' '])}${two(24)}:${two(60)}:${two(60)}${fraction}${draw.one(ZONES)}`;
}

function address(draw: Draw): string {
  const pairs = Array.from({ length: draw.whole(1, 8) }, () => draw.whole(0, 255).toString(16).padStart(2, '0'));
  return draw.one(['', '0x', '::ffff:']) + pairs.join(draw.one(['', ':', '-', ' ', '.', '::']));
}

function version(draw: Draw): string {
  const parts = Array.from({ length: draw.whole(2, 4) }, () => String(draw.whole(0, 30)));
  return draw.one(['', 'v']) + parts.join('.') + draw.one(['', '-beta', 'rc1', 'b', ' release']);
}

function sentence(draw: Draw): string {
  return Array.from({ length: draw.whole(1, 5) }, () => draw.one(WORDS)).join(draw.one([' ', '_', '-', '']));
}

function noise(draw: Draw): string {
  return Array.from({ length: draw.whole(0, 20) }, () => draw.one(SIGNS)).join('');
}

function topic(draw: Draw): string {
  return draw.one([
    'farms/north/sensors/s1/telemetry',
    'v1/devices/me/telemetry',
    'application/7/device/s1/event/up',
    'v3/farm@tenant/devices/s1/up',
    '10.0.0.1, 192.168.0.7',
    'north/s1',
    '$share/a/+/#',
  ]);
}
