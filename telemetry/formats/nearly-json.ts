/** What programs write for a number that is none: of C, Arduino, Python and JavaScript. */
const NO_NUMBER = /^[+-]?(?:nan(?:\([a-z0-9_]{0,16}\))?|inf(?:inity)?|ovf|1\.#(?:qnan|snan|ind|inf)\d{0,8})$/i;
/** None is longer than `-nan(` and 16 letters. */
const LONGEST = 24;
const MAY_HAVE_ONE = /nan|inf|ovf|#ind/i;
const ENDS: ReadonlySet<string> = new Set(' \t\r\n,:{}[]"');

/**
 * A text that JSON.parse refuses, mended where that takes nothing from it: without the NULs of a C string at its end, and
 * with `nan`, `-inf` and their like as texts, so that they cost their own value only. Undefined when there was nothing to
 * mend. Takes time that is linear in the text.
 */
export function mended(text: string): string | undefined {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 0) end--;
  const whole = text.slice(0, end);
  const quoted = MAY_HAVE_ONE.test(whole) ? withTexts(whole) : whole;
  return quoted === text ? undefined : quoted;
}

function withTexts(text: string): string {
  const parts: string[] = [];
  let from = 0;
  let isInText = false;
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (isInText) {
      if (character === '\\') at++;
      else if (character === '"') isInText = false;
    } else if (character === '"') isInText = true;
    else if (!ENDS.has(character)) {
      const word = wordAt(text, at);
      if (NO_NUMBER.test(word)) {
        parts.push(text.slice(from, at), JSON.stringify(word));
        from = at + word.length;
      }
      at += word.length - 1;
    }
  }
  return parts.length === 0 ? text : parts.join('') + text.slice(from);
}

/** The characters up to the next that ends a word in JSON. Of a longer word only so many that it is known to be long. */
function wordAt(text: string, at: number): string {
  let end = at + 1;
  while (end < text.length && end - at <= LONGEST && !ENDS.has(text.charAt(end))) end++;
  return text.slice(at, end);
}
