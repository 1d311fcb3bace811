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

const QUERY = /([?&](?:token|password|p|u)=)[^&]*/g;

/**
 * What may be a URL, without user, password and token; also where it is malformed. Everything up to the last @ may be
 * of the password, and without an @ everything behind a colon that is no port.
 */
export function withoutCredentials(text: string): string {
  const scheme = /^[A-Za-z][A-Za-z0-9+.-]*:\/{0,3}/.exec(text)?.[0] ?? '';
  const rest = text.slice(scheme.length);
  const at = rest.lastIndexOf('@');
  // An @ in a query may be of a token: nothing behind it is sure to be the host.
  const query = rest.indexOf('?');
  if (query >= 0 && query < at && rest.slice(query, at).includes('=')) return `${scheme}***`;
  if (at >= 0) return `${scheme}***${rest.slice(at).replace(QUERY, '$1***')}`;
  if (scheme !== '' && !/^(?:\[[^\]]*\]|[^:/?#]*)(?::\d{0,5})?(?:[/?#][^:]*)?$/.test(rest)) return `${scheme}***`;
  return text.replace(QUERY, '$1***');
}

/** Whether it is the URL of a server, with everything in its place: what is special in a user or password is encoded there. */
export function isServerUrl(text: string): boolean {
  const [, authority] = /^[a-z]+:\/\/([^/?#]*)/.exec(text) ?? [];
  if (authority === undefined || /\s/.test(text) || !URL.canParse(text)) return false;
  // An @ further on means that the password has a sign in it that ends it: / ? or #.
  return !text.slice(text.indexOf('//') + 2 + authority.length).includes('@');
}
