import { z } from 'zod';
import { batchId, encodeLive } from '../../telemetry/batch.ts';
import { Place } from '../../test/gateway/harness.ts';
import { answerCalls, usageNow } from './child.ts';
import { bulk, readingsFrom, registryText } from './farm.ts';

/**
 * One gateway on a log and a store of its own. Readings come by message from the process that started it and are appended to the log,
 * as a worker does it; that work is counted with the gateway's.
 */
const span = z.object({ index: z.number(), count: z.number() });
let place: Place | undefined;

answerCalls({
  start: async () => {
    place = await Place.open();
    const text = await registryText();
    await place.edit(() => text);
    return (await place.gateway()).port;
  },
  announce: async (argument) => {
    const { index, count } = span.parse(argument);
    await place?.live.append(encodeLive({ id: batchId(), readings: readingsFrom(index, count) }));
  },
  bulk: () => place?.live.append(encodeLive({ id: batchId(), readings: bulk() })),
  usage: usageNow,
});
