import { type Browser, chromium as playwright } from 'playwright-core';
import { atEnd } from './cleanup.ts';
import { locate, named } from './install.ts';

let shared: Promise<Browser> | undefined;

/** The headless browser that all test files of a process share: the one LOAM_TEST_CHROMIUM names, or an installed one. */
export function chromium(): Promise<Browser> {
  shared ??= launch();
  return shared;
}

async function launch(): Promise<Browser> {
  const browser = await playwright.launch({
    executablePath: await program(),
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  // On a sudden exit playwright ends the browser itself.
  atEnd({ end: () => browser.close(), exit: () => {} });
  return browser;
}

async function program(): Promise<string> {
  const place = named('chromium') ?? (await locate('chromium'));
  if (typeof place === 'string') {
    return place;
  }
  if (place.kind === 'image') {
    throw new Error(`a browser cannot be driven inside ${place.image}`);
  }
  return place.path;
}
