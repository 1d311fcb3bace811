/** A URL, or a text with such in it, that may be shown: without passwords and tokens. */
export function withoutSecrets(text: string): string {
  return text.replace(/([?&]token=)[^&\s]*/g, '$1***').replace(/\S+/g, withoutPassword);
}

/** Everything up to the last @ may be of the password, also what ends it in a URL that is written well. */
function withoutPassword(word: string): string {
  const start = word.indexOf('//') + 2;
  const colon = word.indexOf(':', start);
  const end = word.lastIndexOf('@');
  if (start < 2 || colon < 0 || end < colon || word.slice(start, colon).includes('/')) return word;
  return `${word.slice(0, colon + 1)}***${word.slice(end)}`;
}

/** What may be a URL, without user, password and token; also where it is malformed. */
export function withoutCredentials(text: string): string {
  const at = text.lastIndexOf('@');
  const begin = text.indexOf('//');
  const shown = begin !== -1 && at > begin ? `${text.slice(0, begin)}//***${text.slice(at)}` : text;
  return shown.replace(/([?&](?:token|password|p|u)=)[^&]*/g, '$1***');
}
