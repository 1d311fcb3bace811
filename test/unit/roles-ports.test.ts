import { expect } from 'chai';
import { withoutSecrets } from '../../core/without-secrets.ts';

describe('an address that people are shown', () => {
  for (const [address, shown] of [
    ['postgres://loam:hunter2@db.example:5432/loam', 'postgres://loam:***@db.example:5432/loam'],
    [
      'postgres://loam@site:hunter2@db.example/loam?sslmode=require',
      'postgres://loam@site:***@db.example/loam?sslmode=require',
    ],
    ['amqp://loam:pass@hunter2@rabbit.example', 'amqp://loam:***@rabbit.example'],
    ['amqp://loam:pa/hunter2@rabbit.example/vhost', 'amqp://loam:***@rabbit.example/vhost'],
    ['amqp://loam:pa?hunter2#2@rabbit.example', 'amqp://loam:***@rabbit.example'],
    [
      'influx://influx.example:8086/loam?org=loam&token=hunter2@x&x=y',
      'influx://influx.example:8086/loam?org=loam&token=***&x=y',
    ],
    ['cannot reach amqp://a:hunter2@b, asked by me@there', 'cannot reach amqp://a:***@b, asked by me@there'],
    ['postgres://loam@db.example:5432/loam', 'postgres://loam@db.example:5432/loam'],
    ['file:/data/@loam:1/queue', 'file:/data/@loam:1/queue'],
  ] as const) {
    it(`has neither password nor token: ${shown}`, () => {
      expect(withoutSecrets(address)).to.equal(shown);
    });
  }
});
