/** Elements of HTML and SVG as strings. Text and attributes are escaped here and nowhere else. */

/** Markup that is ready to be put into other markup. */
export class Markup {
  constructor(readonly source: string) {}
}

export type Child = Markup | string | number | undefined | readonly Child[];
export type Attributes = Readonly<Record<string, string | number | undefined>>;

/** Those that HTML writes without an end tag. */
const empty = new Set(['br', 'meta', 'link']);

/** Strings among the children are text. */
export function element(name: string, attributes: Attributes = {}, ...children: Child[]): Markup {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${escapeText(typeof value === 'number' ? short(value) : value!)}"`)
    .join('');
  if (empty.has(name)) return new Markup(`<${name}${written}>`);
  return new Markup(`<${name}${written}>${children.map(sourceOf).join('')}</${name}>`);
}

function sourceOf(child: Child): string {
  if (child === undefined) return '';
  if (child instanceof Markup) return child.source;
  if (Array.isArray(child)) return child.map(sourceOf).join('');
  return escapeText(String(child));
}

export function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Coordinates to a hundredth of a pixel. */
function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}

/** A value inside a script element of JSON: no `<` may end the element or open a comment. */
export function jsonScript(id: string, value: unknown): Markup {
  const json = JSON.stringify(value).replaceAll('<', '\\u003c');
  return new Markup(`<script type="application/json" id="${id}">${json}</script>`);
}
