/** The chunks of a streamed answer: they differ in their choice alone, so what they have in common becomes text once. */
import { dataEvent } from '../protocol.js';

export const doneEvent = 'data: [DONE]\n\n';

export class ChoiceEvents {
  readonly #head: object;
  readonly #before: string;
  readonly #after: string;

  /** @param withUsage figures come at the end: until then each chunk says that there are none yet */
  constructor(head: object, withUsage: boolean) {
    this.#head = head;
    this.#before = `data: ${JSON.stringify(head).slice(0, -1)},"choices":[`;
    this.#after = withUsage ? '],"usage":null}\n\n' : ']}\n\n';
  }

  /** @param choice as JSON */
  event(choice: string): string {
    return this.#before + choice + this.#after;
  }

  usage(usage: object): string {
    return dataEvent({ ...this.#head, choices: [], usage });
  }
}
