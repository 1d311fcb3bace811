import { startRabbit } from './services/rabbitmq.ts';
import { endAll } from './services/cleanup.ts';
import { openRabbitQueue } from '../backbone/queue/rabbitmq.ts';
import { deleteQueue } from './backbone/rabbitmq-help.ts';
const r = await startRabbit();
const wait = (ms: number) => new Promise((r) => setTimeout(r, ms));
let bad = 0;
for (let i = 0; i < 60; i++) {
  const name = `q${i}`;
  const q = await openRabbitQueue(r.url, { name });
  const lines: string[] = [];
  q.watch((s) => lines.push(JSON.stringify(s)));
  const seen: string[] = [];
  await q.consume(async (d) => { seen.push(Buffer.from(d.body).toString()); }, { prefetch: 100 });
  await q.publish(Buffer.from('a'));
  while (seen.length < 1) await wait(1);
  await deleteQueue(r.url, name);
  let ok = '';
  for (let t = 0; t < 50; t++) { try { await q.publish(Buffer.from(`b${t}`)); ok = `b${t}`; break; } catch (e) { lines.push(String(e)); await wait(20); } }
  await wait(700);
  if (!seen.includes(ok)) {
    bad++;
    console.log(i, lines, ok, seen.join(), await q.depth(), (await r.ctl('-q', 'list_queues', 'name', 'messages', 'messages_ready', 'messages_unacknowledged', 'consumers')).split('\n').find((l) => l.startsWith(`${name}\t`)));
    await q.publish(Buffer.from('later')); await wait(300); console.log(seen.join(), await q.depth());
  }
  await q.close();
}
console.log({ bad });
await endAll(); process.exit();
