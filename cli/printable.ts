/**
 * What is foreign, for a terminal: control characters, which could move its cursor or change what stands there already,
 * and characters that turn the direction of text, are shown as `�`.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\uFFFD');
}

/** The same for a text of several lines, which keeps its line breaks and tabs. */
export function printableLines(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]|[\p{Cf}\u2028\u2029]/gu, '\uFFFD');
}
