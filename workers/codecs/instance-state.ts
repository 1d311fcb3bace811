declare global {
  // Node's types lack WebAssembly. The types of browsers have it, but with all their other globals.
  namespace WebAssembly {
    type Imports = Record<string, Record<string, unknown>>;
    type Exports = Record<string, unknown>;
    class Memory {
      constructor(pages: { readonly initial: number; readonly maximum: number });
      readonly buffer: ArrayBuffer;
    }
    class Module {
      private readonly compiled;
    }
    class Instance {
      constructor(module: Module, imports: Imports);
      readonly exports: Exports;
    }
    function compile(bytes: Uint8Array): Promise<Module>;
  }
}

/** What an instance was at one moment: its stack pointer, its variables and its heap. */
export interface Snapshot {
  readonly stack: number;
  readonly variables: Uint8Array;
  readonly heap: Uint8Array;
}

/** How the linker called the two functions, and how large it made the stack. Both hold for this build of the engine only. */
const STACK_SAVE = 'Oa';
const STACK_RESTORE = 'Ma';
const STACK_BYTES = 5 * 1024 ** 2;

/**
 * All that an instance of the engine can change, to keep and to put back. It is the memory, and one global of WebAssembly:
 * the stack pointer, which is left anywhere when a run ends in the middle.
 *
 * The memory begins with the C code's variables; then come the stack, which holds nothing while no code runs, and the heap.
 * It has its largest size from the beginning and never grows: what is left of it depends on no earlier run. Pages that
 * were never written to take no room in the machine.
 */
export class InstanceState {
  private readonly bytes: Uint8Array;
  private readonly heapStart: number;
  private readonly variablesEnd: number;
  private readonly heapEndAt: number;
  private readonly stackSave: () => number;
  private readonly stackRestore: (pointer: number) => void;

  /** `exports` are of an instance in which nothing has run yet. Throws when it is another build than this code knows. */
  constructor(memory: WebAssembly.Memory, exports: WebAssembly.Exports) {
    const { [STACK_SAVE]: stackSave, [STACK_RESTORE]: stackRestore } = exports;
    if (typeof stackSave !== 'function' || typeof stackRestore !== 'function') throw unknownBuild('no stack pointer');
    this.bytes = new Uint8Array(memory.buffer);
    this.stackSave = () => Number(stackSave());
    this.stackRestore = (pointer) => stackRestore(pointer);
    // The stack is empty, and the heap begins where it does.
    this.heapStart = this.stackSave();
    this.variablesEnd = this.heapStart - STACK_BYTES;
    if (!(this.variablesEnd > 0) || !isEmpty(this.bytes.subarray(this.variablesEnd, this.heapStart)))
      throw unknownBuild('its stack');
    this.stackRestore(this.variablesEnd);
    if (this.stackSave() !== this.variablesEnd) throw unknownBuild('its stack pointer');
    this.stackRestore(this.heapStart);
    // The allocator has one variable for the end of the heap, and the heap is empty.
    const words = new Uint32Array(memory.buffer, 0, Math.floor(this.variablesEnd / 4));
    const at = words.indexOf(this.heapStart);
    if (at < 0 || words.includes(this.heapStart, at + 1)) throw unknownBuild('the end of its heap');
    this.heapEndAt = at * 4;
  }

  snapshot(): Snapshot {
    return {
      stack: this.stackSave(),
      variables: this.bytes.slice(0, this.variablesEnd),
      heap: this.bytes.slice(this.heapStart, this.heapEnd),
    };
  }

  /** Makes the instance what it was at `snapshot`, whatever happened to it since. */
  restore({ stack, variables, heap }: Snapshot): void {
    const end = this.heapStart + heap.length;
    // Above the heap is nothing but zeros, as at the beginning.
    this.bytes.fill(0, end, Math.max(end, this.heapEnd));
    this.bytes.set(heap, this.heapStart);
    this.bytes.set(variables);
    this.stackRestore(stack);
  }

  /** Where the allocator says that the heap ends; a program that broke out of the engine may have written anything there. */
  private get heapEnd(): number {
    const end = new DataView(this.bytes.buffer).getUint32(this.heapEndAt, true);
    return end >= this.heapStart && end <= this.bytes.length ? end : this.bytes.length;
  }
}

function isEmpty(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).equals(Buffer.alloc(bytes.length));
}

function unknownBuild(what: string): Error {
  return new Error(`the engine for codecs is of another build than 0.32.0: ${what} is not where it was`);
}
