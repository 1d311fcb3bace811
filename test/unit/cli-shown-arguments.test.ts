import { expect } from 'chai';
import { shownArguments } from '../../cli/shown-arguments.ts';

describe('the arguments of a command, as others may read them', () => {
  const cases: readonly [given: string[], shown: string[]][] = [
    [
      ['loam', 'up', '--token', 's3cret', '--mqtt-port', '1883'],
      ['loam', 'up', '--token', '***', '--mqtt-port', '1883'],
    ],
    [
      ['--session-key=a=b', '--secret-key=k'],
      ['--session-key=***', '--secret-key=***'],
    ],
    [
      ['--queue', 'amqp://fay:p4@ss@h:5672/'],
      ['--queue', 'amqp://***@h:5672/'],
    ],
    [['--store=influx://h/db?token=abc&org=o'], ['--store=influx://h/db?***']],
    [
      ['sensor', 'add', 'p1', '--farm', 'demo'],
      ['sensor', 'add', 'p1', '--farm', 'demo'],
    ],
  ];
  for (const [given, shown] of cases) {
    it(`have no secret: ${given.join(' ')}`, () => expect(shownArguments(given)).to.deep.equal(shown));
  }
});
