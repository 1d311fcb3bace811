import { isUnit } from '../units.ts';

/** A column of a file. */
export interface FileColumn {
  /** From 0. */
  readonly place: number;
  /** As the header says, alone in the file: the second of two `VWC` is `VWC (2)`. */
  readonly name: string;
  /** As the header says; several columns may have it. */
  readonly header: string;
  /** What the line right above the data says, without what stands above that. */
  readonly own: string;
  readonly unit: string | undefined;
}

export interface ColumnHeaders {
  readonly headers: readonly string[];
  readonly own?: readonly string[] | undefined;
  /** Units that a line of the file gives. */
  readonly units?: readonly (string | undefined)[] | undefined;
}

/** Units of which the letters alone say that they are no words. */
const PLAIN_UNITS = new Set(['kPa', 'hPa', 'Pa', 'mbar', 'mm', 'mV', 'cbar', 'ppm', 'lx', 'lux', 'mph', 'dBm']);

/** Columns by their headers, each with a name of its own. */
export function columnsOf({ headers, own = headers, units = [] }: ColumnHeaders): FileColumn[] {
  const counts = new Map<string, number>();
  for (const header of headers) counts.set(header, (counts.get(header) ?? 0) + 1);
  const used = new Map<string, number>();
  return headers.map((header, place) => {
    const nth = (used.get(header) ?? 0) + 1;
    used.set(header, nth);
    const shown = header === '' ? `#${place + 1}` : header;
    const name = counts.get(header) === 1 || header === '' ? shown : `${header} (${nth})`;
    return { place, name, header, own: own[place] ?? header, unit: knownUnit(units[place]) ?? unitIn(header) };
  });
}

/** The columns that a person may mean by a name: `NAME`, `NAME (2)`, or `#4` for the fourth. */
export function columnsNamed(name: string, columns: readonly FileColumn[]): readonly FileColumn[] {
  const exact = columns.filter((column) => column.header === name || column.name === name);
  if (exact.length > 0) return exact;
  const place = /^#(\d{1,5})$/.exec(name)?.[1];
  if (place !== undefined) return columns.filter((column) => column.place === Number(place) - 1);
  const asked = folded(name);
  const loose = columns.filter(({ header, own, name }) => [header, own, name].some((text) => folded(text) === asked));
  if (loose.length > 0) return loose;
  const [, one = '', nth] = /^(.*) \((\d{1,4})\)$/.exec(asked) ?? [];
  const alike = columns.filter(({ own }) => folded(own) === one)[Number(nth) - 1];
  return alike === undefined ? [] : [alike];
}

function folded(text: string): string {
  return text.normalize('NFKC').replace(/\s+/g, ' ').trim().toLowerCase();
}

/** What a column measures in the words of its header, in small letters: without unit, serial numbers and brackets. */
export function quantityOf({ own, unit }: FileColumn): string {
  if (own.length > 256) return '';
  const bare = withoutSerials(own)
    .replace(/[([][^()[\]]*[)\]]\s*(?:#\d+)?$/, '')
    .trim();
  const words = bare.split(/\s+/);
  if (words.length > 1 && (words[0] === unit || words[0] === 'RH')) words.shift();
  if (words.length > 1 && words.at(-1) === unit) words.pop();
  const text = words.join(' ').toLowerCase();
  return [',', ' -'].reduce((left, mark) => (left.endsWith(mark) ? left.slice(0, -mark.length) : left), text).trim();
}

/** The unit that a header names: `Temp (°C)`, `Temp, °C (LGR S/N: 1)`, `Temp - °C`, `m³/m³ VWC`, `Temp °C`. */
export function unitIn(header: string): string | undefined {
  if (header.length > 256) return undefined;
  const inside = /[([]([^()[\]]*)[)\]]\s*(?:#\d+)?$/.exec(header)?.[1];
  const bare = withoutSerials(header);
  return (
    knownUnit(inside) ??
    knownUnit(after(bare, ', ')) ??
    knownUnit(after(bare, ' - ')) ??
    plainUnit(after(bare, ' ')) ??
    plainUnit(bare.includes(' ') ? bare.slice(0, bare.indexOf(' ')) : undefined)
  );
}

/** HOBOware puts serial numbers and labels in brackets behind the unit. */
function withoutSerials(header: string): string {
  const at = Math.max(header.indexOf('(LGR '), header.indexOf('(SEN '));
  return at === -1 ? header : header.slice(0, at).trim();
}

function after(text: string, mark: string): string | undefined {
  const at = text.lastIndexOf(mark);
  return at === -1 ? undefined : text.slice(at + mark.length).trim();
}

/** A unit that cannot be a word of the name: `in` and `A` can. */
function plainUnit(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const isNoWord = PLAIN_UNITS.has(text) || /[^A-Za-z0-9]/.test(text);
  return isNoWord ? knownUnit(text) : undefined;
}

function knownUnit(text: string | undefined): string | undefined {
  return text !== undefined && text !== '' && isUnit(text) ? text : undefined;
}
