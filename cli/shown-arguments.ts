import { withoutCredentials } from '../core/without-secrets.ts';

/** Options whose value is a secret by itself. */
const SECRET_OPTIONS: ReadonlySet<string> = new Set(['--token', '--session-key', '--secret-key']);

/** The arguments of a command, as others may read them: without secrets, and without what is secret in URLs. */
export function shownArguments(argv: readonly string[]): string[] {
  return argv.map((argument, i) => {
    const [name = '', ...value] = argument.split('=');
    if (SECRET_OPTIONS.has(argv[i - 1] ?? '')) return '***';
    return SECRET_OPTIONS.has(name) && value.length > 0 ? `${name}=***` : withoutCredentials(argument);
  });
}
