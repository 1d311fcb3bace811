import type { RegistryCodec } from '../../telemetry/registry/things.ts';
import type { CodecInput, CodecOutcome, Codecs } from './codec.ts';
import type { Sandbox } from './sandbox.ts';

/**
 * The codecs that are things of the registry, so that a worker on any machine has them. One that the registry does not
 * have is left to `others`.
 */
export class RegistryCodecs implements Codecs {
  private readonly known: () => ReadonlyMap<string, RegistryCodec> | undefined;
  private readonly sandbox: Sandbox;
  private readonly others: Codecs;

  /** `known` gives the codecs of the registry in force, by name. */
  constructor(known: () => ReadonlyMap<string, RegistryCodec> | undefined, sandbox: Sandbox, others: Codecs) {
    this.known = known;
    this.sandbox = sandbox;
    this.others = others;
  }

  decode(name: string, input: CodecInput): CodecOutcome {
    const codec = this.known()?.get(name);
    return codec === undefined ? this.others.decode(name, input) : this.sandbox.run(codec.text, input);
  }
}
