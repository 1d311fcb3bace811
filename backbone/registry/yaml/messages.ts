import {
  type EditConflict,
  explain,
  RegistryConflict,
  RegistryInvalid,
  RegistryUnavailable,
  type RegistryWhere,
} from '../../../core/errors.ts';
import type { Applied, Change, Edit } from '../../../telemetry/registry/registry.ts';
import type { Kind, NamedThing } from '../../../telemetry/registry/things.ts';

/** What the thread is started with. */
export interface FilesSettings {
  readonly path: string;
  readonly autoKinds: readonly Kind[];
  /** How often the files are looked at, ms; 0: never, and nothing is kept beside them. */
  readonly pollMs: number;
}

export type ToFiles =
  /** A part of what the process knows already. */
  | { readonly is: 'known'; readonly things: readonly NamedThing[] }
  /** That was all of it. */
  | { readonly is: 'open' }
  | { readonly is: 'edit'; readonly id: number; readonly edits: readonly Edit[]; readonly who: string };

export type FromFiles =
  /** A part of changes that come into force together. */
  | { readonly is: 'changes'; readonly changes: readonly Change[] }
  /** All parts have come. */
  | { readonly is: 'changed'; readonly who: string; readonly when: number }
  /** The files were read for the first time. */
  | { readonly is: 'open' }
  | { readonly is: 'failed'; readonly error: SentError }
  | { readonly is: 'refused'; readonly why: string | undefined }
  | { readonly is: 'edited'; readonly id: number; readonly applied: Applied }
  | { readonly is: 'not edited'; readonly id: number; readonly error: SentError }
  | { readonly is: 'looked' }
  | {
      readonly is: 'said';
      readonly level: 'info' | 'error';
      readonly event: string | undefined;
      readonly text: string;
    };

/** A change has up to some ten kB, most have few hundred bytes: so many at once hold up nobody who reads them. */
export const PART = 500;

/** An error as a message between threads, which take no classes. */
export type SentError =
  | { readonly is: 'invalid'; readonly message: string; readonly where: RegistryWhere }
  | { readonly is: 'conflict'; readonly conflicts: readonly EditConflict[] }
  | { readonly is: 'unavailable'; readonly message: string }
  | { readonly is: 'other'; readonly message: string };

export function sentError(error: unknown): SentError {
  if (error instanceof RegistryInvalid) {
    const { file, line, place } = error;
    return { is: 'invalid', message: explain(error), where: { file, line, place } };
  }
  if (error instanceof RegistryConflict) return { is: 'conflict', conflicts: error.conflicts };
  if (error instanceof RegistryUnavailable) return { is: 'unavailable', message: explain(error) };
  return { is: 'other', message: explain(error) };
}

export function receivedError(sent: SentError): Error {
  switch (sent.is) {
    case 'invalid':
      return new RegistryInvalid(sent.message, sent.where);
    case 'conflict':
      return new RegistryConflict(sent.conflicts);
    case 'unavailable':
      return new RegistryUnavailable(sent.message);
    case 'other':
      return new Error(sent.message);
  }
}
