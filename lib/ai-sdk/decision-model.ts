/** A loaded model as a decision model of the AI SDK (specification V4, where it is experimental), by `decide`. */
import type {
  Experimental_DecisionModelV4 as DecisionModelV4,
  Experimental_DecisionModelV4CallOptions as CallOptions,
  Experimental_DecisionModelV4Result as DecisionResult,
  SharedV4Warning,
} from '@ai-sdk/provider';
import type { Model } from '../model.js';
import type { Prompt } from '../prompt.js';
import { type AskedQuestion, askedOf, stateText } from './question.js';

export class KvasirDecisionModel implements DecisionModelV4 {
  readonly specificationVersion = 'v4';
  readonly provider = 'kvasir';
  readonly modelId: string;
  readonly supportedQuestionTypes = ['choice', 'score', 'boolean'] as const;
  readonly #model: Model;

  constructor(model: Model) {
    this.#model = model;
    this.modelId = model.info.name;
  }

  /** Rejects as `decide` does. Nothing is generated: the probability of each answer is that of its tokens. */
  async doDecide({ state, questions, reasoning, abortSignal }: CallOptions): Promise<DecisionResult> {
    const told = stateText(state);
    const warnings: SharedV4Warning[] = [];
    if (reasoning !== undefined && reasoning !== 'provider-default' && reasoning !== 'none') {
      warnings.push({
        type: 'unsupported',
        feature: `reasoning '${reasoning}'`,
        details: 'Answers are not thought about.',
      });
    }
    const asked = Object.entries(questions).map(([id, question]) => ({ id, question: askedOf(question) }));
    const answers = await Promise.all(
      asked.map(async ({ id, question }) => {
        const probabilities = await this.#probabilitiesOf(told, question, abortSignal);
        return [id, question.answerOf(probabilities)] as const;
      }),
    );
    return { answers: Object.fromEntries(answers), warnings };
  }

  async #probabilitiesOf(
    state: string,
    { text, answers }: AskedQuestion,
    signal: AbortSignal | undefined,
  ): Promise<Record<string, number>> {
    if (answers.length === 1) return { [answers[0]]: 1 };
    const decision = await this.#model.decide(this.#promptOf(`${state}\n\n${text}`), {
      choices: answers,
      ...(signal && { signal }),
    });
    return decision.probabilities;
  }

  /** The state comes first, so that all questions about it have the beginning of their prompts in common. */
  #promptOf(text: string): Prompt {
    if (this.#model.tokenizer.chatTemplate !== undefined) return [{ role: 'user', content: text }];
    return `${text}\nAnswer: `;
  }
}
