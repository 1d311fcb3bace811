import { parentPort, workerData } from 'node:worker_threads';
import { type ConnectRefusal, Driver, type ThreadReport } from './driver.ts';
import type { FullPlan } from './plan.ts';

/** What the main thread tells a generator thread. */
export type Order =
  | { readonly do: 'begin' }
  | { readonly do: 'rate'; readonly rate: number }
  | { readonly do: 'halt' }
  | { readonly do: 'tell' }
  | { readonly do: 'end' };

/** What a generator thread tells the main thread. `told` answers `tell`, once each. */
export type Word =
  | { readonly is: 'ready' }
  | { readonly is: 'refused'; readonly refusal: ConnectRefusal }
  | { readonly is: 'finished' }
  | { readonly is: 'told'; readonly report: ThreadReport };

const FAREWELL_MS = 500;
const port = parentPort;
if (!port) throw new Error('this module is the entry of a thread');

const say = (word: Word) => port.postMessage(word);
const plan: FullPlan = workerData;
const driver = new Driver(plan, {
  ready: () => say({ is: 'ready' }),
  refused: (refusal) => say({ is: 'refused', refusal }),
  finished: () => say({ is: 'finished' }),
});
port.on('message', (order: Order) => follow(order));
driver.connect();

function follow(order: Order): void {
  switch (order.do) {
    case 'begin':
      driver.begin();
      break;
    case 'rate':
      driver.changeRate(order.rate);
      break;
    case 'halt':
      driver.halt();
      break;
    case 'tell':
      say({ is: 'told', report: driver.report() });
      break;
    case 'end':
      driver.end();
      port?.close();
      // The thread ends by itself when all sockets are closed. One that the broker does not close would keep it.
      setTimeout(() => driver.destroy(), FAREWELL_MS).unref();
      break;
  }
}
