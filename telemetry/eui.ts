const HEX = /^[0-9a-f]{16}$/;
/** What The Things Stack writes before an EUI when it makes a device's id of one. */
const BEFORE = 'eui-';
const SEPARATORS = /[-:._]/g;

/**
 * The EUI that an id is, as 16 small hex digits; undefined when it is none. Network servers write the same EUI with small
 * or capital letters, and with separators or without: `A8-40-41-FF-FF-12-34-56`, `eui-a84041ffff123456`.
 */
export function euiIn(id: string): string | undefined {
  if (id.length < 16) return undefined;
  const small = id.toLowerCase();
  const bare = (small.startsWith(BEFORE) ? small.slice(BEFORE.length) : small).replace(SEPARATORS, '');
  return HEX.test(bare) ? bare : undefined;
}

/** The spellings in which network servers and people write an EUI, given as 16 small hex digits. */
export function spellingsOf(eui: string): string[] {
  const pairs = eui.match(/../g) ?? [];
  const small = [eui, pairs.join('-'), pairs.join(':')];
  return [...small, ...small.map((one) => one.toUpperCase()), `${BEFORE}${eui}`];
}
