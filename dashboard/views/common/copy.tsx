import { useState } from 'preact/hooks';
import { Glyph } from './icons.tsx';

/** Lines for a terminal, with a button that copies them. */
export function Command({ children }: { children: string }) {
  const [said, setSaid] = useState('');
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(children);
      setSaid('Copied');
    } catch {
      // Without TLS browsers give a page no clipboard: the user can still select the text.
      setSaid('Select the text and copy it by hand');
    }
  };
  return (
    <div class="command">
      <pre>
        <code>{children}</code>
      </pre>
      <button type="button" class="command-copy" aria-label="Copy this command" onClick={() => void copy()}>
        <Glyph name="copy" />
        <span role="status">{said || 'Copy'}</span>
      </button>
    </div>
  );
}
