/** A question of the AI SDK's decision models in words: what is judged, what is asked, and the answers that may be. */
import type {
  Experimental_DecisionModelV4CallOptions as CallOptions,
  Experimental_DecisionModelV4Answer as DecisionAnswer,
  Experimental_DecisionModelV4Input as Input,
  Experimental_DecisionModelV4Question as Question,
} from '@ai-sdk/provider';
import { KvasirError } from '../errors.js';
import { fileText } from './prompt.js';

/** What `decide` is asked, and how its probabilities are told. */
export interface AskedQuestion {
  text: string;
  /** At least one. */
  answers: readonly string[];
  /** @param probabilities of each answer; they sum to 1 */
  answerOf(probabilities: Readonly<Record<string, number>>): DecisionAnswer;
}

/** Throws INVALID_OPTION for what is no text. */
export function stateText(state: CallOptions['state']): string {
  const texts = state.map((part, i) => {
    if (part.type === 'text') return part.text;
    return part.type === 'json' ? wordsOf(part.value) : fileText(part, `state[${i}]`);
  });
  return texts.join('\n');
}

/** Throws INVALID_OPTION for a kind of question that text cannot answer. */
export function askedOf(question: Question): AskedQuestion {
  switch (question.type) {
    case 'choice':
      return asked(question, Object.entries(question.criteria), 'one of these names', choiceOf);
    case 'score': {
      const levels = question.criteria.map((words, i): [string, Input | null] => [String(i), words]);
      return asked(question, levels, 'one of these numbers', scoreOf);
    }
    case 'boolean': {
      const { true: yes, false: no } = question.criteria ?? {};
      const criteria: [string, Input | null][] = [
        ['true', yes ?? null],
        ['false', no ?? null],
      ];
      return asked(question, criteria, 'true or false', ({ true: probability }) => ({
        type: 'boolean',
        probability,
      }));
    }
    case 'box':
      throw new KvasirError(
        'INVALID_OPTION',
        "A question of type 'box' is about an image; the model takes text only.",
      );
  }
}

function asked(
  { instructions }: Question,
  criteria: readonly [string, Input | null][],
  what: string,
  answerOf: AskedQuestion['answerOf'],
): AskedQuestion {
  const lines = criteria.map(([name, words]) =>
    words === null ? `- ${name}` : `- ${name}: ${wordsOf(words)}`,
  );
  const parts = [
    instructions ? wordsOf(instructions) : '',
    ...lines,
    `Answer with ${what}, and nothing else.`,
  ];
  return {
    text: parts.filter((part) => part !== '').join('\n'),
    answers: criteria.map(([name]) => name),
    answerOf,
  };
}

const wordsOf = (input: unknown): string =>
  typeof input === 'string' ? input : JSON.stringify(input, undefined, 2);

function choiceOf(probabilities: Readonly<Record<string, number>>): DecisionAnswer {
  const [[choice]] = Object.entries(probabilities).sort(([, a], [, b]) => b - a);
  return { type: 'choice', choice, probabilities: { ...probabilities } };
}

/** The mean level. */
function scoreOf(probabilities: Readonly<Record<string, number>>): DecisionAnswer {
  const score = Object.entries(probabilities).reduce((sum, [level, p]) => sum + Number(level) * p, 0);
  return { type: 'score', score, probabilities: { ...probabilities } };
}
