/**
 * What a person can do about a connection that RabbitMQ at `url` did not take, as an Error with the library's own as its
 * cause. Other errors are returned as they are. No password is in its text.
 */
export function refusal(error: unknown, url: string): unknown {
  const text = error instanceof Error ? error.message : '';
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const why = text.includes('ACCESS-REFUSED')
    ? `user "${userOf(url)}" is not there, or has another password`
    : words(text, code, url);
  return why === undefined ? error : new Error(why, { cause: error });
}

function words(text: string, code: string, url: string): string | undefined {
  // The library keeps nothing of what the server says here.
  if (text.includes('Expected ConnectionOpenOk'))
    return `there is no virtual host "${vhostOf(url)}", or user "${userOf(url)}" may not use it`;
  if (code === 'CERT_HAS_EXPIRED') return "the server's certificate has expired";
  if (code === 'CERT_NOT_YET_VALID') return "the server's certificate is not valid yet: is this machine's clock right?";
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return "the server's certificate is of another host";
  if (code === 'DEPTH_ZERO_SELF_SIGNED_CERT' || code === 'SELF_SIGNED_CERT_IN_CHAIN' || code.startsWith('UNABLE_TO_'))
    return "nobody whom this machine trusts has signed the server's certificate (NODE_EXTRA_CA_CERTS names others)";
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER') return 'that port does not speak TLS: amqp:// instead of amqps://?';
  if (text.includes('closed abruptly during opening handshake'))
    return 'the server ended the connection before it had begun: does that port speak TLS (amqps://)?';
  return undefined;
}

/** The virtual host that a URL of RabbitMQ names: `/` unless there is a path. */
export function vhostOf(url: string): string {
  const path = new URL(url).pathname.slice(1);
  return path === '' ? '/' : decodeURIComponent(path);
}

/** The user that a URL names. One without a password beside it, or with what may be one in it, may be a secret: `***`. */
function userOf(url: string): string {
  const { username, password } = new URL(url);
  const user = decodeURIComponent(username);
  if (user === '') return 'guest';
  return password === '' || /[:@]/.test(user) ? '***' : user;
}
