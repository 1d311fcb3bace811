import { expect } from 'chai';
import { patternsIn } from '../patterns/find.ts';
import { slowness } from '../patterns/judge.ts';

/** Line and pattern of each regular expression in `text`, and line of each fault. */
function found(text: string, path = 'a.ts'): { patterns: string[]; faults: number[] } {
  const { patterns, faults } = patternsIn(path, text);
  return {
    patterns: patterns.map(({ line, source, flags }) => `${line} /${source}/${flags}`),
    faults: faults.map(({ line }) => line),
  };
}

describe('the check of regular expressions', () => {
  it('finds them wherever they are written', () => {
    const text = `
      // /in a comment/ is none, and 'µ/text/' in a text is none
      const one = /[/]\\d+/gu;
      export const schema = z.string().regex(/^\\w+$/, 'a word');
      const text = \`é \${given.replace(/(a+)+$/, (all) => all.split(/,/)[0] ?? '')}\`;
      const made = [new RegExp('(b+)+$', 'i'), RegExp(\`(c+)+$\`), new RegExp(String.raw\`(\\d+)+$\`)];
      const of = given?.match('(e+)+$') ?? given.matchAll(one) ?? given['search'](/f/);
      const kind: RegExp = a / b / c;
      if (kind instanceof RegExp) network.match(address, 8);
    `;
    expect(found(text)).to.deep.equal({
      patterns: [
        '3 /[/]\\d+/gu',
        '4 /^\\w+$/',
        '5 /(a+)+$/',
        '5 /,/',
        '6 /(b+)+$/i',
        '6 /(c+)+$/',
        '6 /(\\d+)+$/',
        '7 /(e+)+$/',
        '7 /f/',
      ],
      faults: [],
    });
    const form = '<input pattern="-?\\d+" />;\n<input pattern={given} />;\n';
    expect(found(form, 'a.tsx')).to.deep.equal({ patterns: ['1 /^(?:-?\\d+)$/u'], faults: [2] });
  });

  it('refuses one that is made of what only the running program knows', () => {
    for (const expression of [
      'new RegExp(given)',
      `RegExp(\`^\${given}$\`)`,
      "new RegExp('a', given)",
      "new RegExp(['a', 'b'].join('|'))",
      `new RegExp(String.raw\`a\${given}\`)`,
      'new globalThis.RegExp(given)',
      '[given].map(RegExp)',
      'given.match(other)',
      'given?.matchAll(other)',
      `given['search'](\`a\${other}\`)`,
    ]) {
      expect(found(`\n${expression};\n`), expression).to.deep.equal({ patterns: [], faults: [2] });
    }
    expect(found('const a = ;').faults, 'a file that cannot be read').to.deep.equal([1]);
  });

  it('takes a pattern only when the time of a match is proven to grow no faster than the text', () => {
    for (const source of ['^\\d+$', '^[a-z][a-z0-9_]{0,63}$', '"[^"]*"', '\\s+', '(?:\\bat|@) ?\\d', '\\p{M}+']) {
      expect(slowness({ source, flags: 'gu' }), source).to.equal(undefined);
    }
    for (const source of [
      '(a+)+$',
      '^(a|a)*$',
      '\\s+$',
      'x+y',
      '\\s*\\n\\s*',
      '(\\d+)[.,]?(\\d+)[ °C]?$',
      '^\\d{0,40}\\d{0,40}$',
      '^(?:a?){30}a{30}$',
      '(a{1,20}){1,20}$',
      '^(.*)\\1$',
      '^(a|a)*(?!b)',
    ]) {
      expect(slowness({ source, flags: '' }), source).to.be.a('string');
    }
  });
});
