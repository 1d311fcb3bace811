import { euiIn } from '../eui.ts';

/** Finds the ids of sensors by their EUI, however that is spelt. */
export class EuiIndex {
  /** By farm and EUI: nearly always one id. Of several spellings the one that was there first is meant. */
  private readonly ids = new Map<string, readonly string[]>();

  /** Adds an id of a farm, or takes it out. An id that is no EUI is passed over. */
  put(farm: string, id: string, isThere: boolean): void {
    const eui = euiIn(id);
    if (eui === undefined) return;
    const key = `${farm}/${eui}`;
    const others = (this.ids.get(key) ?? []).filter((other) => other !== id);
    const isKnown = others.length < (this.ids.get(key)?.length ?? 0);
    const next = isThere && isKnown ? this.ids.get(key) : isThere ? [...others, id] : others;
    if (next === undefined || next.length === 0) this.ids.delete(key);
    else this.ids.set(key, next);
  }

  /** The id in the farm that is the same EUI as `id`; undefined when there is none, or `id` is no EUI. */
  find(farm: string, id: string): string | undefined {
    const eui = euiIn(id);
    return eui === undefined ? undefined : this.ids.get(`${farm}/${eui}`)?.[0];
  }
}
