/** Who handed a sensor's message to Loam in its place: a bridge of its farm, or a source. */
export interface Via {
  readonly kind: 'bridge' | 'source';
  readonly id: string;
}

/** As one text, for messages: `bridge:ID` or `source:ID`. */
export function viaText({ kind, id }: Via): string {
  return `${kind}:${id}`;
}

/** What `viaText` wrote; undefined for any other text. */
export function readVia(text: string): Via | undefined {
  const at = text.indexOf(':');
  const [kind, id] = [text.slice(0, at), text.slice(at + 1)];
  return (kind === 'bridge' || kind === 'source') && id !== '' ? { kind, id } : undefined;
}
