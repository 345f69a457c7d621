/**
 * Markdown that grows: only blocks whose source has changed are made anew. Markup in the text stays text, pictures become
 * links, and links lead to the web alone.
 */
import { lexer, type Token, type Tokens } from 'marked';
import { element } from './elements.js';

export class MarkdownView {
  readonly #into: HTMLElement;
  #sources: string[] = [];

  constructor(into: HTMLElement) {
    this.#into = into;
  }

  show(text: string): void {
    const blocks = lexer(text).filter(({ type }) => type !== 'space' && type !== 'def');
    const sources = blocks.map(({ raw }) => raw);
    let same = 0;
    while (same < sources.length && sources[same] === this.#sources[same]) same++;
    while (this.#into.childNodes.length > same) this.#into.lastChild?.remove();
    this.#into.append(...blocks.slice(same).map(blockOf));
    this.#sources = sources;
  }
}

function blockOf(token: Token): Node {
  switch (token.type) {
    case 'heading':
      // The page has headings of its own above.
      return element(`h${Math.min(6, (token as Tokens.Heading).depth + 3)}` as 'h4', {}, ...inlines(token));
    case 'paragraph':
      return element('p', {}, ...inlines(token));
    case 'code':
      return element('pre', { tabindex: '0' }, element('code', {}, (token as Tokens.Code).text));
    case 'blockquote':
      return element('blockquote', {}, ...((token as Tokens.Blockquote).tokens ?? []).map(blockOf));
    case 'list':
      return listOf(token as Tokens.List);
    case 'table':
      return tableOf(token as Tokens.Table);
    case 'hr':
      return element('hr');
    case 'space':
      return document.createTextNode('');
    case 'text':
      return element('span', {}, ...inlines(token));
    case 'checkbox':
      return document.createTextNode((token as Tokens.Checkbox).checked ? '☑ ' : '☐ ');
    default:
      return element('p', {}, token.raw);
  }
}

function listOf({ ordered, start, items }: Tokens.List): HTMLElement {
  const list = element(ordered ? 'ol' : 'ul', ordered && start !== '' ? { start: String(start) } : {});
  for (const item of items) {
    list.append(element('li', {}, ...item.tokens.map(blockOf)));
  }
  return list;
}

function tableOf({ header, rows }: Tokens.Table): HTMLElement {
  const head = element('tr', {}, ...header.map((cell) => element('th', { scope: 'col' }, ...inlines(cell))));
  const body = rows.map((row) =>
    element('tr', {}, ...row.map((cell) => element('td', {}, ...inlines(cell)))),
  );
  return element('table', { tabindex: '0' }, element('thead', {}, head), element('tbody', {}, ...body));
}

function inlines(token: { tokens?: Token[]; text?: string; raw?: string }): (Node | string)[] {
  if (token.tokens === undefined) return [token.text ?? token.raw ?? ''];
  return token.tokens.map(inlineOf);
}

function inlineOf(token: Token): Node | string {
  switch (token.type) {
    case 'strong':
    case 'em':
    case 'del':
      return element(token.type, {}, ...inlines(token));
    case 'codespan':
      return element('code', {}, (token as Tokens.Codespan).text);
    case 'br':
      return element('br');
    case 'checkbox':
      return blockOf(token);
    case 'link':
    case 'image':
      return linkOf(token as Tokens.Link);
    case 'escape':
      return (token as Tokens.Escape).text;
    case 'text':
      return token.tokens ? element('span', {}, ...inlines(token)) : (token as Tokens.Text).raw;
    default:
      return token.raw;
  }
}

function linkOf({ href, text, raw, ...token }: Tokens.Link): Node | string {
  if (!/^(https?:|mailto:)/i.test(href)) return raw;
  const content = token.tokens ? inlines(token) : [text || href];
  return element('a', { href, rel: 'noopener noreferrer', target: '_blank' }, ...content);
}
