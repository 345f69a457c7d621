/** The syntax tree of a template. */
import type { BinaryOperator } from './arithmetic.js';
import type { Text } from './text.js';
import type { Value } from './values.js';

export type CompareOperator = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in';

export interface CallArguments {
  positional: readonly Expression[];
  named: readonly { name: string; value: Expression }[];
  /** *list and **mapping. */
  list?: Expression;
  mapping?: Expression;
}

export type Expression = { line: number } & (
  | { kind: 'constant'; value: Value }
  | { kind: 'name'; name: string }
  | { kind: 'list' | 'tuple'; items: readonly Expression[] }
  | { kind: 'dict'; entries: readonly (readonly [Expression, Expression])[] }
  | { kind: 'condition'; test: Expression; held: Expression; otherwise?: Expression }
  | { kind: 'or' | 'and'; left: Expression; right: Expression }
  | { kind: 'not' | 'negate' | 'plus'; operand: Expression }
  | {
      kind: 'compare';
      first: Expression;
      rest: readonly { operator: CompareOperator; operand: Expression }[];
    }
  | { kind: 'binary'; operator: BinaryOperator; left: Expression; right: Expression }
  | { kind: 'concat'; operands: readonly Expression[] }
  | { kind: 'member'; object: Expression; name: string }
  | { kind: 'subscript'; object: Expression; key: Expression }
  | { kind: 'slice'; start?: Expression; stop?: Expression; step?: Expression }
  | { kind: 'call'; callee: Expression; arguments: CallArguments }
  /** `input` undefined: of a block. */
  | { kind: 'filter'; input?: Expression; name: string; arguments: CallArguments }
  | { kind: 'test'; input: Expression; name: string; arguments: CallArguments }
);

export type Target =
  | { kind: 'name'; name: string; line: number }
  | { kind: 'field'; namespace: string; name: string; line: number }
  | { kind: 'tuple'; items: readonly Target[]; line: number };

export interface Parameter {
  name: string;
  absent?: Expression;
}

/** A macro, or the body of a call block. */
export interface MacroBody {
  name: string;
  parameters: readonly Parameter[];
  body: readonly Statement[];
  /** Which of caller, kwargs and varargs its body looks at. */
  uses: ReadonlySet<string>;
}

export interface Loop {
  target: Target;
  over: Expression;
  filter?: Expression;
  recursive: boolean;
  body: readonly Statement[];
  otherwise: readonly Statement[];
}

export type Statement = { line: number } & (
  | { kind: 'output'; parts: readonly (Text | Expression)[] }
  | ({ kind: 'for' } & Loop)
  | {
      kind: 'if';
      branches: readonly { test: Expression; body: readonly Statement[] }[];
      otherwise: readonly Statement[];
    }
  | { kind: 'set'; target: Target; value: Expression }
  | { kind: 'set block'; target: Target; filter?: Expression; body: readonly Statement[] }
  | { kind: 'with'; bindings: readonly { target: Target; value: Expression }[]; body: readonly Statement[] }
  | { kind: 'macro'; macro: MacroBody }
  | { kind: 'call block'; call: Expression; caller: MacroBody }
  | { kind: 'filter block'; filter: Expression; body: readonly Statement[] }
  | { kind: 'generation'; body: readonly Statement[] }
  | { kind: 'break' | 'continue' }
);
