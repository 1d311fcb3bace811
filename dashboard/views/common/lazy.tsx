import { type Signal, signal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useEffect } from 'preact/hooks';
import { Notice } from './notice.tsx';

type LoadedView<Props> = { readonly view: ComponentType<Props> } | { readonly failed: true } | undefined;

/** A view whose code is fetched when it is first shown, so that the first page of all is small. */
export function lazy<Props extends object>(load: () => Promise<ComponentType<Props>>): ComponentType<Props> {
  const loaded: Signal<LoadedView<Props>> = signal(undefined);
  const begin = async () => {
    loaded.value = undefined;
    try {
      loaded.value = { view: await load() };
    } catch {
      loaded.value = { failed: true };
    }
  };
  return (props: Props) => {
    useEffect(() => {
      if (loaded.peek() === undefined) void begin();
    }, []);
    const found = loaded.value;
    if (found === undefined) return <p class="quiet loading">Loading …</p>;
    if ('failed' in found) {
      return (
        <Notice title="This page could not be loaded">
          <p>The connection broke, or Loam was updated meanwhile.</p>
          <div class="buttons">
            <button type="button" onClick={() => void begin()}>
              Try again
            </button>
            <button type="button" onClick={() => window.location.reload()}>
              Reload everything
            </button>
          </div>
        </Notice>
      );
    }
    const { view: View } = found;
    return <View {...props} />;
  };
}
