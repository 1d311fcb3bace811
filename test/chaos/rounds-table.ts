import type { RoundResult } from './rounds.ts';

/** What rounds came to, by kind of fault, as a table in Markdown. Figures of a round with several faults count for each of them. */
export function roundsTable(rounds: readonly RoundResult[]): string[] {
  const names = [...new Set(rounds.flatMap(({ faults }) => faults.map(({ name }) => name)))].sort();
  return [
    '| fault | times | acknowledged meanwhile and around | missing | twice | the account |',
    '| --- | --- | --- | --- | --- | --- |',
    ...names.map((name) => {
      const its = rounds.filter(({ faults }) => faults.some((fault) => fault.name === name));
      const times = its.flatMap(({ faults }) => faults.filter((fault) => fault.name === name)).length;
      const cells = [name, times, sum(its, 'acknowledged'), missingOf(its), sum(its, 'doubled'), accountOf(its)];
      return `| ${cells.join(' | ')} |`;
    }),
  ];
}

/** All rounds together, in a line. */
export function roundsInAll(rounds: readonly RoundResult[]): string {
  const plain = rounds.filter(({ harm }) => harm === undefined);
  const faults = rounds.reduce((total, round) => total + round.faults.length, 0);
  return (
    `${faults} faults in ${rounds.length} rounds: acknowledged ${sum(rounds, 'acknowledged')}, ` +
    `missing ${sum(plain, 'missing')} where nothing may be, twice ${sum(rounds, 'doubled')}; ` +
    `rounds in which something did not hold: ${rounds.filter(({ broken }) => broken.length > 0).length}`
  );
}

function sum(rounds: readonly RoundResult[], of: 'acknowledged' | 'missing' | 'doubled' | 'lost'): number {
  return rounds.reduce((total, round) => total + round[of], 0);
}

function missingOf(rounds: readonly RoundResult[]): string {
  const missing = sum(rounds, 'missing');
  if (!rounds.some(({ harm }) => harm)) return String(missing);
  const outside = rounds.reduce((total, round) => total + (round.missingOutside ?? 0), 0);
  return `${missing}, of them before or after the fault ${outside}`;
}

function accountOf(rounds: readonly RoundResult[]): string {
  const lost = sum(rounds, 'lost');
  if (rounds.some(({ harm }) => harm === 'setsAside')) {
    return `${lost} lost; ${rounds.reduce((total, round) => total + (round.setAside ?? 0), 0)} dead letters`;
  }
  const unknown = rounds.reduce((total, round) => total + (round.harm === 'destroysAccount' ? round.unknown : 0), 0);
  if (unknown > 0) return `${lost} batches lost, ${unknown} unknown`;
  const seen = rounds.flatMap(({ seenAfterS }) => seenAfterS ?? []);
  if (lost === 0 || seen.length === 0) return `${lost} lost`;
  return `${lost} batches lost, said after ${Math.round(Math.max(...seen))} s at most`;
}
