/** Tokens of an answer with their probabilities: under the pointer, or by arrow keys, and read out. */
import type { TokenEntry } from './events.js';
import { element } from './elements.js';

/** Which of four colours a token has. */
function sureness(logprob: number): number {
  const bounds = [0.1, 0.4, 0.8];
  return bounds.filter((bound) => Math.exp(logprob) >= bound).length;
}

const percent = (logprob: number): string => `${(100 * Math.exp(logprob)).toPrecision(3)} %`;
const shown = (token: string): string => JSON.stringify(token).slice(1, -1);

function describe({ token, logprob, top_logprobs: top }: TokenEntry): string {
  const others = top.map((one) => `“${shown(one.token)}” ${percent(one.logprob)}`).join(', ');
  const own = `“${shown(token)}” ${percent(logprob)}, log-probability ${logprob.toFixed(3)}`;
  return others === '' ? own : `${own}. Most probable: ${others}`;
}

export class TokenView {
  readonly root = element('div', { hidden: '' });
  readonly #line = element('div', {
    class: 'tokens',
    tabindex: '0',
    role: 'group',
    'aria-label': 'Tokens with probabilities: use the arrow keys',
  });
  readonly #detail = element(
    'p',
    { class: 'detail', role: 'status' },
    'Point at a token, or use the arrow keys.',
  );
  readonly #entries: TokenEntry[] = [];
  #active = -1;

  constructor() {
    this.root.append(this.#line, this.#detail);
    this.#line.addEventListener('pointerover', ({ target }) => {
      const at = Array.prototype.indexOf.call(this.#line.children, target);
      if (at >= 0) this.#select(at);
    });
    this.#line.addEventListener('keydown', (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      this.#select(Math.max(0, Math.min(this.#entries.length - 1, this.#active + step)));
    });
  }

  add(entries: readonly TokenEntry[]): void {
    if (entries.length === 0) return;
    this.root.hidden = false;
    for (const entry of entries) {
      this.#entries.push(entry);
      this.#line.append(element('span', { 'data-sure': String(sureness(entry.logprob)) }, entry.token));
    }
  }

  #select(at: number): void {
    this.#line.children[this.#active]?.classList.remove('active');
    this.#active = at;
    this.#line.children[at]?.classList.add('active');
    const entry = this.#entries[at];
    if (entry) this.#detail.textContent = describe(entry);
  }
}
