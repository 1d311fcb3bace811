/** A text with URLs in it, such as a message of a library, that may be shown: without users, passwords, queries and fragments. */
export function withoutSecrets(text: string): string {
  return text.replace(/\S+/g, (word) => {
    const from = schemeAt(word);
    return from === undefined ? word : word.slice(0, from) + withoutCredentials(word.slice(from));
  });
}

/** Where a scheme with `://` behind it begins. */
function schemeAt(word: string): number | undefined {
  const end = word.indexOf('://');
  if (end < 0) return undefined;
  let from = end;
  while (from > 0 && /[A-Za-z0-9+.-]/.test(word.charAt(from - 1))) from -= 1;
  return from;
}

/** What a user, a password or a token may be behind, encoded: `:`, `@`, `?`, `#`, `;`, `&`, `=`, and `%` itself. */
const ENCODED = /%(?:3a|40|3f|23|3b|26|3d|25)/i;

/** What begins a query or a fragment, or one that somebody meant. */
const QUERY = /[?#;&]/;

/**
 * What may be a URL, without user, password, query and fragment; also where it is malformed. Everything up to the last @
 * may be of the password, and without an @ everything behind a colon that is no port.
 */
export function withoutCredentials(text: string): string {
  const scheme = /^[A-Za-z][A-Za-z0-9+.-]*:\/{0,3}/.exec(text)?.[0] ?? '';
  const rest = text.slice(scheme.length);
  const at = rest.lastIndexOf('@');
  // An @ behind one of these may be of a token: nothing after it is sure to be the host.
  const query = rest.search(QUERY);
  if ((query >= 0 && query < at) || ENCODED.test(rest)) return `${scheme}***`;
  if (at >= 0) return `${scheme}***${withoutQuery(rest.slice(at))}`;
  if (scheme !== '' && !/^(?:\[[^\]]*\]|[^:/?#]*)(?::\d{0,5})?(?:[/?#][^:]*)?$/.test(rest)) return `${scheme}***`;
  return `${scheme}${withoutQuery(rest)}`;
}

function withoutQuery(text: string): string {
  const end = text.search(QUERY);
  return end < 0 ? text : `${text.slice(0, end + 1)}***`;
}

/** Whether it is the URL of a server, with everything in its place: what is special in a user or password is encoded there. */
export function isServerUrl(text: string): boolean {
  const [, authority] = /^[a-z]+:\/\/([^/?#]*)/.exec(text) ?? [];
  if (authority === undefined || /\s/.test(text) || !URL.canParse(text)) return false;
  // A host has no encoded signs: these were to be around a password.
  if (authority.slice(authority.lastIndexOf('@') + 1).includes('%')) return false;
  // An @ further on means that the password has a sign in it that ends it: / ? or #.
  return !text.slice(text.indexOf('//') + 2 + authority.length).includes('@');
}
