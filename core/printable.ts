/**
 * What a terminal must not be sent: control characters and those that turn the direction of writing. What is printed is in
 * part of others (topics, payloads, names, texts of errors), and nobody's bytes may move the cursor, rename the window or
 * change the order of what is read. They are shown as `\uXXXX`, which means the same as before inside JSON.
 */
const UNSEEN = /[\p{Cc}\p{Bidi_Control}]/gu;

/** A text for a terminal, of several lines. */
export function printable(text: string): string {
  return text.replace(UNSEEN, (one) => (one === '\n' || one === '\t' ? one : escaped(one)));
}

/** A text for a terminal, on one line and in one column. */
export function printableCell(text: string): string {
  return text.replace(UNSEEN, escaped);
}

function escaped(one: string): string {
  return `\\u${one.charCodeAt(0).toString(16).padStart(4, '0').toUpperCase()}`;
}
