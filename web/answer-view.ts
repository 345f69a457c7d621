/** One answer while it grows: thoughts, text, calls, tokens and figures. */
import { button, element } from './elements.js';
import type { ChatEvent } from './events.js';
import { MarkdownView } from './markdown.js';
import { TokenView } from './tokens.js';

export interface Call {
  id: string;
  type: 'function';
  function: { name: string; arguments: string };
}

export interface AnswerMessage {
  role: 'assistant';
  content: string;
  reasoning_content?: string;
  tool_calls?: Call[];
}

export class AnswerView {
  readonly root: HTMLElement;
  readonly #body = element('div', { class: 'body' });
  readonly #thoughts = element('details', { hidden: '' }, element('summary', {}, 'Thoughts'));
  readonly #thoughtText = element('div', { class: 'body' });
  readonly #calls = element('div');
  readonly #figures = element('p', { class: 'figures' });
  readonly #tokens = new TokenView();
  readonly #markdown = new MarkdownView(this.#body);
  readonly #thoughtMarkdown = new MarkdownView(this.#thoughtText);
  readonly #made: Call[] = [];
  readonly #started = performance.now();
  #text = '';
  #thought = '';
  #firstMs: number | undefined;
  #frame = 0;

  constructor(modelName: string) {
    this.#thoughts.append(this.#thoughtText);
    this.root = element('article', { class: 'turn assistant' }, element('h3', {}, modelName));
    this.root.append(this.#thoughts, this.#body, this.#calls, this.#tokens.root, this.#figures);
  }

  get text(): string {
    return this.#text;
  }

  get calls(): readonly Call[] {
    return this.#made;
  }

  take({ choices: [choice], usage }: ChatEvent): void {
    if (choice) {
      const { content = '', reasoning_content = '', tool_calls = [] } = choice.delta;
      if (content !== '' || reasoning_content !== '' || tool_calls.length > 0) {
        this.#firstMs ??= performance.now() - this.#started;
      }
      this.#text += content;
      this.#thought += reasoning_content;
      for (const { index, id, function: part } of tool_calls) {
        this.#made[index] ??= {
          id: id ?? '',
          type: 'function',
          function: { name: part?.name ?? '', arguments: '' },
        };
        this.#made[index].function.arguments += part?.arguments ?? '';
      }
      this.#tokens.add(choice.logprobs?.content ?? []);
    }
    if (usage) this.#showFigures(usage);
    // As often as the screen is drawn, not as often as tokens come.
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  /** No more comes. @param why said below the text where it was not the end */
  end(why?: string): void {
    this.#draw();
    if (why !== undefined) this.#figures.append(` ${why}`);
  }

  /** Asks for what each call gives. */
  askResults(onResults: (results: string[]) => void): void {
    const inputs = this.#made.map(({ function: { name } }) =>
      element('textarea', { rows: '2', 'aria-label': `Result of ${name}`, placeholder: `Result of ${name}` }),
    );
    const form = element('div', {}, ...inputs);
    const send = button('Send results', () => {
      form.remove();
      onResults(inputs.map(({ value }) => value));
    });
    form.append(send);
    this.root.append(form);
  }

  message(): AnswerMessage {
    const message: AnswerMessage = { role: 'assistant', content: this.#text };
    if (this.#thought !== '') message.reasoning_content = this.#thought;
    if (this.#made.length > 0) message.tool_calls = [...this.#made];
    return message;
  }

  #draw(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#markdown.show(this.#text);
    if (this.#thought !== '') {
      this.#thoughts.hidden = false;
      this.#thoughtMarkdown.show(this.#thought);
    }
    this.#calls.replaceChildren(...this.#made.map(callBox));
  }

  #showFigures({
    prompt_tokens,
    completion_tokens,
    prompt_tokens_details,
  }: NonNullable<ChatEvent['usage']>): void {
    const ms = performance.now() - this.#started;
    const rate = (completion_tokens - 1) / ((ms - (this.#firstMs ?? ms)) / 1000);
    const parts = [
      `${prompt_tokens} tokens in (${prompt_tokens_details.cached_tokens} cached)`,
      `${completion_tokens} out`,
      `first after ${(this.#firstMs ?? ms).toFixed(0)} ms`,
    ];
    if (Number.isFinite(rate) && rate > 0) parts.push(`${rate.toFixed(1)} tokens/s`);
    this.#figures.textContent = `${parts.join(', ')}.`;
  }
}

function callBox({ function: { name, arguments: given } }: Call): HTMLElement {
  let shown = given;
  try {
    shown = JSON.stringify(JSON.parse(given), undefined, 2);
  } catch {
    // It is still being written, or damaged: as it stands.
  }
  return element('div', { class: 'call' }, element('strong', {}, `Calls ${name}`), element('pre', {}, shown));
}
