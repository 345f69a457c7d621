/** The flags of `generate`, by the names of its options. */
import { InvalidArgumentError, Option } from 'commander';
import { collect, parseInteger, parseNumber } from './flag-values.js';

/** Commander reads a name that begins with no- as a switch turned off. */
function plain(flags: string, description: string): Option {
  const option = new Option(flags, description);
  option.negate = false;
  return option;
}

function parseNames(text: string): string[] {
  return text.split(',').map((name) => name.trim());
}

/** 'true', 'false' or a word that the option knows. */
function parseSwitch(text: string): boolean | string {
  return text === 'true' || (text === 'false' ? false : text);
}

/** What most requests use. */
const usual: readonly Option[] = [
  new Option('-n, --max-tokens <count>', 'most tokens to generate (default: 256)').argParser(parseInteger),
  new Option('--temperature <number>', "0 is greedy (default: the model's own, or else 0)").argParser(
    parseNumber,
  ),
  new Option('--top-k <count>', 'sample from the k most probable tokens').argParser(parseInteger),
  new Option('--top-p <fraction>', 'sample from the fewest tokens with this probability').argParser(
    parseNumber,
  ),
  new Option('--min-p <fraction>', 'drop tokens less probable than this part of the best').argParser(
    parseNumber,
  ),
  new Option('--typical-p <fraction>', 'locally typical sampling').argParser(parseNumber),
  new Option('--repetition-penalty <number>', 'above 1: tokens that occurred are less likely').argParser(
    parseNumber,
  ),
  new Option('--presence-penalty <number>', 'from -2 to 2, for tokens that the output has').argParser(
    parseNumber,
  ),
  new Option('--frequency-penalty <number>', 'from -2 to 2, for each time it has them').argParser(
    parseNumber,
  ),
  new Option('--seed <number>', 'the same seed, the same text').argParser(parseInteger),
  new Option('--stop <text>', 'end the text here; may be given several times').argParser(collect),
  new Option(
    '--speculate <how>',
    'prompt: draft what followed the same tokens before; or off (the default)',
  ).argParser(parseSpeculate),
  new Option('--ignore-eos', 'go on past the end of the text'),
  new Option('--logprobs <count>', 'log-probabilities, with this many alternatives (needs --json)').argParser(
    parseInteger,
  ),
];

const samplers: readonly Option[] = [
  new Option('--samplers <names>', 'which samplers run, in this order, with commas between them').argParser(
    parseNames,
  ),
  new Option('--top-n-sigma <number>', 'drop logits so many standard deviations below the best').argParser(
    parseNumber,
  ),
  new Option('--xtc-probability <fraction>', 'how often the most probable tokens are left out').argParser(
    parseNumber,
  ),
  new Option('--xtc-threshold <fraction>', 'those at least so probable (default: 0.1)').argParser(
    parseNumber,
  ),
  new Option('--dynatemp-range <number>', 'how far the temperature moves with the entropy').argParser(
    parseNumber,
  ),
  new Option('--dynatemp-exponent <number>', 'the power of the entropy (default: 1)').argParser(parseNumber),
  new Option('--mirostat <version>', '2: Mirostat 2.0 in place of the filters').argParser(parseInteger),
  new Option('--mirostat-tau <bits>', 'the surprise aimed at (default: 5)').argParser(parseNumber),
  new Option('--mirostat-eta <number>', 'how fast it is approached (default: 0.1)').argParser(parseNumber),
  new Option('--dry-multiplier <number>', 'penalty on repeated sequences').argParser(parseNumber),
  new Option('--dry-base <number>', 'its growth with their length (default: 1.75)').argParser(parseNumber),
  new Option('--dry-allowed-length <count>', 'tokens that may be repeated (default: 2)').argParser(
    parseInteger,
  ),
  new Option('--dry-penalty-last-n <count>', 'tokens that are looked at (default: all)').argParser(
    parseInteger,
  ),
  new Option('--dry-sequence-breakers <text>', 'where repetitions end; several times').argParser(collect),
];

const rules: readonly Option[] = [
  new Option('--min-tokens <count>', 'no end before so many tokens').argParser(parseInteger),
  new Option('--bad-words <text>', 'a text that must not come; several times').argParser(collect),
  plain('--no-repeat-ngram <count>', 'no sequence of so many tokens twice').argParser(parseInteger),
];

const answers: readonly Option[] = [
  new Option('--answer-prefix <text>', 'what the answer to a message begins with'),
];

const searches: readonly Option[] = [
  new Option('--n <count>', 'so many texts').argParser(parseInteger),
  new Option('--best-of <count>', 'draw so many texts, of which the best come').argParser(parseInteger),
  new Option('--beams <count>', 'beam search').argParser(parseInteger),
  new Option('--length-penalty <number>', 'with beams: above 0 favours long texts').argParser(parseNumber),
  new Option('--early-stopping <when>', 'with beams: true, false or never').argParser(parseSwitch),
];

/** Of `speculate`, without a draft model. */
function parseSpeculate(text: string): 'prompt' | false {
  if (text === 'prompt') return text;
  if (text === 'off') return false;
  throw new InvalidArgumentError("It must be 'prompt' or 'off'.");
}

export const generateFlags: readonly Option[] = [...usual, ...samplers, ...rules, ...answers, ...searches];
