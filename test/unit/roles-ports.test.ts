import { expect } from 'chai';
import { refusal } from '../../backbone/rabbitmq/refusal.ts';
import { explain } from '../../core/errors.ts';
import { withoutSecrets } from '../../core/without-secrets.ts';

describe('an address that people are shown', () => {
  for (const [address, shown] of [
    ['postgres://loam:hunter2@db.example:5432/loam', 'postgres://***@db.example:5432/loam'],
    ['postgres://loam@site:hunter2@db.example/loam?sslmode=require', 'postgres://***@db.example/loam?***'],
    ['amqp://loam:pass@hunter2@rabbit.example', 'amqp://***@rabbit.example'],
    ['amqp://loam:pa/hunter2@rabbit.example/vhost', 'amqp://***@rabbit.example/vhost'],
    ['amqp://loam:pa?hunter2#2@rabbit.example', 'amqp://***'],
    ['influx://influx.example:8086/loam?org=loam&token=hunter2@x&x=y', 'influx://***'],
    ['cannot reach amqp://a:hunter2@b, asked by me@there', 'cannot reach amqp://***@b, asked by me@there'],
    ['postgres://loam@db.example:5432/loam', 'postgres://***@db.example:5432/loam'],
    ['amqp://hunter2@rabbit.example', 'amqp://***@rabbit.example'],
    ['(influx://influx.example/loam?u=a&p=hunter2)', '(influx://influx.example/loam?***'],
    ['http://host/#token=hunter2', 'http://host/#***'],
    ['http://host/x;token=hunter2', 'http://host/x;***'],
    ['http://u%3Ahunter2%40host/', 'http://***'],
    ['http://host/%3Ftoken=hunter2', 'http://***'],
    ['http://host/x%23hunter2', 'http://***'],
    ['http://host/x&token=hunter2', 'http://host/x&***'],
    ['amqp://***@host/a%2Fb', 'amqp://***@host/a%2Fb'],
    ['file:/data/@loam:1/queue', 'file:/data/@loam:1/queue'],
  ] as const) {
    it(`has neither password nor token: ${shown}`, () => {
      expect(withoutSecrets(address)).to.equal(shown);
    });
  }

  it('has no user in what RabbitMQ refuses, when that may be a password', () => {
    const told = (url: string) => explain(refusal(new Error('Handshake terminated: ACCESS-REFUSED'), url));
    expect(told('amqp://loam:hunter2@host'))
      .to.match(/user "loam"/)
      .and.not.include('hunter2');
    expect(told('amqp://host')).to.include('user "guest"');
    for (const url of ['amqp://hunter2@host', 'amqp://u%3Ahunter2%40h:x@host', 'amqp://hunter2:@host'])
      expect(told(url), url)
        .to.match(/user "\*\*\*"/)
        .and.not.include('hunter2');
  });
});
