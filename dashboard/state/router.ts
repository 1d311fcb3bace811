import { signal } from '@preact/signals';
import { addressOf, type PageRoute, parseRoute } from './routes.ts';

export const route = signal(here());

function here(): PageRoute {
  return parseRoute(window.location.pathname, window.location.search);
}

/** Goes to another page. `replace` leaves no way back: for changes within a page. */
export function go(to: Exclude<PageRoute, { page: 'unknown' }>, how: 'push' | 'replace' = 'push'): void {
  const address = addressOf(to);
  if (how === 'push') window.history.pushState(null, '', address);
  else window.history.replaceState(null, '', address);
  route.value = to;
}

/** Follows the browser's back and forward, and turns clicks on the app's own links into moves within the page. */
export function startRouter(): void {
  window.addEventListener('popstate', () => {
    route.value = here();
  });
  document.addEventListener('click', (event) => {
    const plain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    const link = event.target instanceof Element ? event.target.closest('a[href]') : null;
    if (!plain || event.defaultPrevented || !link || link.hasAttribute('target') || link.hasAttribute('download'))
      return;
    // A link within a drawing has its address only as an attribute.
    const address = new URL(link.getAttribute('href') ?? '', window.location.href);
    if (address.origin !== window.location.origin || address.hash !== '') return;
    const to = parseRoute(address.pathname, address.search);
    if (to.page === 'unknown') return;
    event.preventDefault();
    go(to);
  });
}
