/** What the lexer hands to the parser. */
export type TokenKind =
  | 'data'
  | 'variable_begin'
  | 'variable_end'
  | 'block_begin'
  | 'block_end'
  | 'name'
  | 'string'
  | 'integer'
  | 'float'
  | 'operator'
  | 'eof';

export interface Token {
  kind: TokenKind;
  /** Of a string: its value. */
  text: string;
  line: number;
}
