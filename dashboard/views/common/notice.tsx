import type { ComponentChildren } from 'preact';
import { type ApiProblem, advice } from '../../api/problem.ts';

export function Notice({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="notice">
      <h2>{title}</h2>
      {children}
    </section>
  );
}

interface ProblemProps {
  readonly problem: ApiProblem;
  /** Whether another try follows by itself. */
  readonly again?: boolean;
  readonly children?: ComponentChildren;
}

export function ProblemNotice({ problem, again, children }: ProblemProps) {
  return (
    <div class="notice notice-problem" role="alert">
      <p>{advice(problem)}</p>
      {again && <p class="quiet">Trying again by itself.</p>}
      {children}
    </div>
  );
}
