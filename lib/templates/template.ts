/**
 * A chat template as the reference renders it: Jinja2's sandbox with immutable lists and mappings, `trim_blocks`,
 * `lstrip_blocks`, loop controls and the tag `generation`. What it prints keeps its origin. Refuses with
 * TemplateFailure; work, text and nesting are bounded by a budget.
 */
import { Budget, type Limits } from './budget.js';
import { Expressions } from './expressions.js';
import { LimitReached, TemplateFailure } from './failure.js';
import { applyFilter } from './filters.js';
import { globalValues } from './globals.js';
import type { Statement } from './nodes.js';
import { parseTemplate } from './parser.js';
import type { Runtime } from './runtime.js';
import { Scope } from './scope.js';
import { Statements } from './statements.js';
import { applyTest } from './tests.js';
import type { Segment } from './text.js';
import type { Value } from './values.js';

export interface RenderOptions {
  /** What strftime_now tells. Default: now. */
  now?: Date;
  limits?: Limits;
  /** Called every few thousand steps: what it throws ends the rendering. */
  interrupt?: () => void;
}

export class Template {
  readonly #body: readonly Statement[];

  /** Throws TemplateFailure for what is no template. */
  constructor(source: string) {
    this.#body = guarded(
      () => parseTemplate(source),
      () => undefined,
    );
  }

  /** Throws TemplateFailure with its line; LimitReached when the budget is used up. */
  render(values: ReadonlyMap<string, Value>, options: RenderOptions = {}): Segment[] {
    const budget = new Budget(options.limits, options.interrupt);
    const runtime: Runtime = {
      budget,
      now: options.now ?? new Date(),
      filter: (name, value, given) => applyFilter(name, value, given, runtime),
      test: (name, value, given) => applyTest(name, value, given, runtime),
    };
    const expressions = new Expressions(runtime, globalValues(runtime));
    const scope = new Scope();
    for (const [name, value] of values) scope.set(name, value);
    return guarded(
      () => new Statements(expressions, budget).render(this.#body, scope).segments,
      () => expressions,
    );
  }
}

/** Failures say where they happened. A stack that is used up is a limit like the others. */
function guarded<T>(run: () => T, place: () => { line: number; construct: string } | undefined): T {
  try {
    return run();
  } catch (cause) {
    const failure =
      cause instanceof RangeError ? new LimitReached('calls and blocks too deep for the stack') : cause;
    if (failure instanceof TemplateFailure) {
      const at = place();
      failure.line ??= at?.line;
      failure.construct ??= at?.construct;
    }
    throw failure;
  }
}
