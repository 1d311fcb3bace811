/** The `ETag` header of a thing of this version. */
export function etagOf(version: string): { readonly etag: string } {
  return { etag: `"${version}"` };
}

/** Whether an `If-Match` header is fulfilled by a thing of this version; `undefined`: there is no such thing. An absent header is. */
export function isMatched(ifMatch: string, version: string | undefined): boolean {
  if (ifMatch === '') return true;
  if (version === undefined) return false;
  // A weak tag (`W/"…"`) matches nothing here, as RFC 9110 has it.
  return ifMatch.split(',').some((tag) => tag.trim() === '*' || tag.trim() === `"${version}"`);
}
