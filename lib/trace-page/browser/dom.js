/** Elements of the page. Texts are text: nothing here reads markup. */

/** @typedef {Node | string | number | undefined | null | false} Child */

/**
 * An element with attributes ('onclick' and the like listen), `dataset` entries and children.
 * @param {string} name
 * @param {Record<string, unknown>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {any}
 */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), /** @type {EventListener} */ (value));
    else element.setAttribute(key, value === true ? '' : String(value));
  }
  add(element, children);
  return element;
}

/** @param {Element} element @param {(Child | Child[])[]} children */
function add(element, children) {
  for (const child of children.flat()) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Of a table whose columns have names. @param {string[]} names */
export function tableHead(names) {
  return h(
    'thead',
    {},
    h(
      'tr',
      {},
      names.map((name) => h('th', { scope: 'col' }, name)),
    ),
  );
}

/** @param {Element} element @param {...(Child | Child[])} children */
export function fill(element, ...children) {
  element.replaceChildren();
  add(element, children);
}

const svgNamespace = 'http://www.w3.org/2000/svg';

/**
 * @param {string} name
 * @param {Record<string, string | number | undefined>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElement}
 */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(svgNamespace, name);
  for (const [key, value] of Object.entries(attributes))
    if (value !== undefined) element.setAttribute(key, String(value));
  add(element, children);
  return element;
}

/**
 * A formula: `x_i` has i below, `x^2` has 2 above, both with braces for more than one character.
 * @param {string} text
 */
export function formula(text) {
  const parts = text.split(/([_^](?:\{[^}]*\}|.))/);
  return h(
    'p',
    { class: 'formula' },
    parts.map((part) => {
      const mark = part[0];
      if ((mark !== '_' && mark !== '^') || part.length < 2) return part;
      return h(mark === '_' ? 'sub' : 'sup', {}, part.slice(1).replace(/[{}]/g, ''));
    }),
  );
}

/** A token as a reader sees it: spaces and line ends are shown. @param {string} text */
export function tokenText(text) {
  return text === '' ? '∅' : text.replaceAll(' ', '·').replaceAll('\n', '⏎').replaceAll('\t', '⇥');
}
