/** The panel: what requests say besides their messages, kept in this browser. The key is kept for as long as the tab is. */
import { byId, element } from './elements.js';

interface Field {
  name: string;
  label: string;
  min: number;
  max?: number;
  step: number | 'any';
}

/** Fields of /v1/chat/completions; empty ones are left to the server. */
const fields: readonly Field[] = [
  { name: 'temperature', label: 'Temperature', min: 0, max: 100, step: 'any' },
  { name: 'top_p', label: 'Top p', min: 0, max: 1, step: 'any' },
  { name: 'top_k', label: 'Top k', min: 0, step: 1 },
  { name: 'min_p', label: 'Min p', min: 0, max: 1, step: 'any' },
  { name: 'repetition_penalty', label: 'Repetition penalty', min: 0, max: 1000, step: 'any' },
  { name: 'presence_penalty', label: 'Presence penalty', min: -2, max: 2, step: 'any' },
  { name: 'frequency_penalty', label: 'Frequency penalty', min: -2, max: 2, step: 'any' },
  { name: 'max_tokens', label: 'Most tokens', min: 1, step: 1 },
  { name: 'seed', label: 'Seed', min: 0, step: 1 },
];

const storageName = 'kvasir-settings';

export class Settings {
  readonly #numbers = new Map<string, HTMLInputElement>();
  readonly #system = byId<HTMLTextAreaElement>('system');
  readonly #tools = byId<HTMLTextAreaElement>('tools');
  readonly #problem = byId('tools-problem');
  readonly #logprobs = byId<HTMLInputElement>('logprobs');
  readonly #key = byId<HTMLInputElement>('key');

  /** @param onKey told of another API key */
  constructor(onKey: (key: string) => void) {
    for (const field of fields) this.#addField(field);
    this.#restore();
    byId('settings').addEventListener('input', () => this.#keep());
    this.#tools.addEventListener('change', () => this.tools());
    this.#key.addEventListener('change', () => {
      sessionStorage.setItem(storageName, this.#key.value);
      onKey(this.#key.value);
    });
    this.#key.value = sessionStorage.getItem(storageName) ?? '';
    if (this.#key.value !== '') onKey(this.#key.value);
  }

  get system(): string {
    return this.#system.value.trim();
  }

  get wantsLogprobs(): boolean {
    return this.#logprobs.checked;
  }

  /** Fields of a body. */
  sampling(): Record<string, number> {
    const given = [...this.#numbers].filter(([, { value, validity }]) => value !== '' && validity.valid);
    return Object.fromEntries(given.map(([name, { value }]) => [name, Number(value)]));
  }

  /** Undefined: none, or no JSON list, which the panel then says. */
  tools(): unknown[] | undefined {
    const text = this.#tools.value.trim();
    this.#problem.hidden = true;
    if (text === '') return undefined;
    try {
      const tools = JSON.parse(text) as unknown;
      if (Array.isArray(tools) && tools.length > 0) return tools;
      throw new Error('a list of tools is needed');
    } catch (error) {
      this.#problem.textContent = `No tools are sent: ${(error as Error).message}`;
      this.#problem.hidden = false;
      return undefined;
    }
  }

  #addField({ name, label, min, max, step }: Field): void {
    const input = element('input', { type: 'number', name, step: String(step), placeholder: 'default' });
    input.min = String(min);
    if (max !== undefined) input.max = String(max);
    this.#numbers.set(name, input);
    byId('sampling').append(element('label', { class: 'field' }, label, input));
  }

  #keep(): void {
    const numbers = Object.fromEntries([...this.#numbers].map(([name, { value }]) => [name, value]));
    const kept = {
      numbers,
      system: this.#system.value,
      tools: this.#tools.value,
      logprobs: this.#logprobs.checked,
    };
    localStorage.setItem(storageName, JSON.stringify(kept));
  }

  #restore(): void {
    try {
      const kept = JSON.parse(localStorage.getItem(storageName) ?? '{}') as Record<string, unknown>;
      const numbers = (kept.numbers ?? {}) as Record<string, unknown>;
      for (const [name, input] of this.#numbers) input.value = String(numbers[name] ?? '');
      this.#system.value = String(kept.system ?? '');
      this.#tools.value = String(kept.tools ?? '');
      this.#logprobs.checked = kept.logprobs === true;
    } catch {
      localStorage.removeItem(storageName);
    }
  }
}
