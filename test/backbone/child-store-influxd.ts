import { writeSync } from 'node:fs';
import { openInfluxStore } from '../../backbone/influx/store.ts';
import { startInflux } from '../services/influx.ts';
import { numbered } from './store-readings.ts';

/** Starts a server of its own, so that a trace of this process follows the server too, and writes to it. */
const server = await startInflux();
const store = await openInfluxStore(server.storeUrl('traced'));
await store.write(numbered(1));
writeSync(1, 'begin\n');
await store.write(numbered(2));
writeSync(1, 'durable\n');
await store.close();
await server.close();
