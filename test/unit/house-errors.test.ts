import { expect } from 'chai';
import * as errors from '../../core/errors.ts';
import { code, projectFile, tableRows } from './house-table.ts';

const { explain, LoamError } = errors;

/** One of each error that the module exports. */
const all = Object.values(errors).flatMap((exported) => {
  if (typeof exported !== 'function' || !(exported.prototype instanceof LoamError)) return [];
  const made: unknown = Reflect.construct(exported, ['a', 'b', 'c']);
  return made instanceof LoamError ? [made] : [];
});

describe('errors', () => {
  it('are all listed in docs/errors.md with class and advice, and no others', async () => {
    const rows = tableRows(await projectFile('docs/errors.md'), 'code');
    expect(rows.map((cells) => cells.slice(0, 3).map(code))).to.have.deep.members(
      all.map((error) => [error.code, error.name, error.advice]),
    );
    for (const [name, , , when] of rows) expect(when, name).to.match(/\w/);
  });

  it('have every advice explained in docs/errors.md', async () => {
    const rows = tableRows(await projectFile('docs/errors.md'), 'advice');
    expect(rows.map(([advice]) => code(advice)).sort()).to.deep.equal([...new Set(all.map((e) => e.advice))].sort());
  });

  it('have a code that is the class’s name, and never the same one', () => {
    for (const error of all) {
      expect(error.code).to.equal(error.name.replace(/(?!^)(?=[A-Z])/g, '_').toUpperCase());
    }
    expect(new Set(all.map((error) => error.code)).size).to.equal(all.length);
  });

  it('are explained on one line, with their causes, and none of them twice', () => {
    const root = new Error('connect\n  refused');
    const middle = new errors.QueueUnavailable('the queue is away', { cause: root });
    expect(explain(middle)).to.equal('the queue is away: connect refused');
    expect(explain(new errors.ConfigInvalid('X', 'X: the queue is away', { cause: 'gone' }))).to.match(/away: gone$/);
    expect(explain(new Error('outer: inner', { cause: new Error('inner') }))).to.equal('outer: inner');
    for (const error of [new TypeError('no URL: http://u:hunter2@h/x'), 'no URL: http://h/x?p=hunter2']) {
      expect(explain(error))
        .to.match(/^no URL: http:\/\/.*\*\*\*/)
        .and.not.include('hunter2');
      const told = new errors.ConfigInvalid('X', `X: ${explain(error)}`, { cause: error });
      expect(explain(told)).to.equal(`X: ${explain(error)}`);
    }
    expect(explain(new errors.ConfigInvalid('X', 'X: amqp://USER:PASSWORD@HOST'))).to.include('PASSWORD');
    expect(explain('a text')).to.equal('a text');
    expect(explain(undefined)).to.equal('undefined');
    expect(explain(new TypeError())).to.equal('TypeError');
  });
});
