import { z } from 'zod';
import { answerCalls, usageNow } from './child.ts';
import { FARM, fieldOf } from './farm.ts';
import { ViewerSocket } from './viewer-socket.ts';

/** Thousands of viewers in one process. Every `SAMPLED`th one reads what it gets; the others count. */
const SAMPLED = 20;
const AT_ONCE = 100;

const wanted = z.object({
  port: z.number(),
  path: z.string(),
  cookie: z.string(),
  /** Viewers, and the number of the first: it settles field and address. */
  first: z.number(),
  count: z.number(),
  /** Whether they watch the whole farm, not one field each. */
  whole: z.boolean(),
});
const readings = z.object({
  type: z.literal('readings'),
  rows: z.array(z.tuple([z.string(), z.string(), z.number()], z.unknown())),
});

let viewers: ViewerSocket[] = [];
/** Why sockets ended that were not ended here. */
const lost: string[] = [];
/** Added to a reading's time before it is compared with the clock: a recording is played later. */
let shift = 0;
let measuring = false;
/** By ms from publish to receipt: how many readings of sampled viewers took so long. */
let latencies: number[] = [];
let rows = 0;
let framesBefore = 0;
let usageBefore = usageNow();

answerCalls({
  connect: async (argument) => {
    const { first, count, ...rest } = wanted.parse(argument);
    for (let i = first; i < first + count; i += AT_ONCE) {
      const next = Array.from({ length: Math.min(AT_ONCE, first + count - i) }, (_, n) => open(i + n, rest));
      viewers.push(...(await Promise.all(next)));
    }
    return viewers.length;
  },
  begin: (argument) => {
    shift = z.number().parse(argument);
    latencies = [];
    rows = 0;
    framesBefore = frames();
    usageBefore = usageNow();
    measuring = true;
  },
  end: () => {
    measuring = false;
    const { cpuSeconds, rss } = usageNow();
    const sampled = Math.ceil(viewers.length / SAMPLED);
    return {
      frames: frames() - framesBefore,
      latencies,
      rows,
      sampled,
      lost,
      cpuSeconds: cpuSeconds - usageBefore.cpuSeconds,
      rss,
    };
  },
  stall: () => {
    for (const viewer of viewers) viewer.stall();
  },
  close: () => {
    for (const viewer of viewers) viewer.end();
    viewers = [];
  },
});

function open(index: number, { port, path, cookie, whole }: Omit<z.infer<typeof wanted>, 'first' | 'count'>) {
  const localAddress = `127.0.${1 + Math.floor(index / 500)}.1`;
  const text = whole ? '' : `,"fields":["${fieldOf(index)}"]`;
  const seen = index % SAMPLED === 0 ? take : undefined;
  return ViewerSocket.open({ port, path, cookie, localAddress }, seen, (why) => lost.push(why)).then((socket) => {
    socket.send(`{"type":"subscribe","id":1,"farm":"${FARM}"${text}}`);
    return socket;
  });
}

function take(text: string): void {
  if (!measuring || !text.startsWith('{"type":"readings"')) return;
  const now = Date.now();
  for (const [, , ts] of readings.parse(JSON.parse(text)).rows) {
    const ms = Math.max(0, now - ts - shift);
    latencies[ms] = (latencies[ms] ?? 0) + 1;
    rows++;
  }
}

function frames(): number {
  return viewers.reduce((sum, viewer) => sum + viewer.frames, 0);
}
