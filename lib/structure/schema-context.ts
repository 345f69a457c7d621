/** What the grammars of objects and arrays ask of the compiler of schemas. */
import type { Facts, Group, Located } from './facts.js';
import type { GrammarBuilder, Node } from './grammar.js';
import type { JsonText } from './json-text.js';

export interface SchemaContext {
  readonly builder: GrammarBuilder;
  readonly text: JsonText;
  /** What satisfies all of these. */
  node(all: readonly Located[]): Node;
  facts(all: readonly Located[]): Facts;
  /** The facts with each branch of a group in its place. */
  branches(facts: Facts, group: Group): Facts[];
}
