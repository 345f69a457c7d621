// Clients of a running server that ask as fast as they are answered, and check each answer: a stream begins once, brings as
// many tokens as were asked for, and ends once; answers to one prompt are greedy, so each goes on as the others do. Node's own
// fetch; no package.

const openings = [
  'Once upon a time',
  'The old man sat down by the river and thought about',
  'One day, a little girl named Lily went to the park. She saw a big dog and said, "Hello!" The dog',
  'There was a boy. '.repeat(12),
  'Tom and Sue like to play. '.repeat(30),
];

/** Prompt and tokens of the i-th request: short and long ones mixed, the same in every run. */
export function requestOf(i, mostTokens = 64) {
  const tokens = 4 + ((i * 37) % (mostTokens - 3));
  return { prompt: `${openings[i % openings.length]} ${i % 97}`, tokens };
}

export function newCounts() {
  return { asked: 0, answered: 0, refused: 0, events: 0, tokens: 0, faults: [] };
}

const post = (address, body) =>
  fetch(`${address}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

/** One request, and what is wrong with its answer: undefined, or a sentence. A clean refusal is none. */
async function askOnce({ address, mostTokens }, i, counts, seen) {
  const { prompt, tokens } = requestOf(i, mostTokens);
  const body = {
    prompt,
    max_tokens: tokens,
    temperature: 0,
    ignore_eos: true,
    stream: true,
    stream_options: { include_usage: true },
  };
  const response = await post(address, body);
  if (response.status === 429) {
    const { error } = await response.json();
    const after = Number(response.headers.get('retry-after'));
    if (error?.code !== 'server_busy' || !(after >= 1))
      return `a 429 that is not clean: ${JSON.stringify(error)}`;
    counts.refused++;
    return undefined;
  }
  if (response.status !== 200) return `status ${response.status}: ${(await response.text()).slice(0, 200)}`;
  return checkStream(await response.text(), { prompt, tokens }, counts, seen);
}

function checkStream(text, { prompt, tokens }, counts, seen) {
  const blocks = text.split('\n\n').filter((block) => block.startsWith('data: '));
  if (blocks.at(-1) !== 'data: [DONE]') return 'a stream without its end';
  const events = blocks.slice(0, -1).map((block) => JSON.parse(block.slice(6)));
  const broken = events.find(({ error }) => error !== undefined);
  if (broken) return `an error in the stream: ${JSON.stringify(broken.error)}`;
  const ids = new Set(events.map(({ id }) => id));
  if (ids.size !== 1 || seen.ids.has(events[0].id)) return 'an answer of another request';
  seen.ids.add(events[0].id);
  const ends = events.filter(({ choices }) => choices[0]?.finish_reason);
  const usage = events.at(-1).usage;
  if (ends.length !== 1 || ends[0].choices[0].finish_reason !== 'length') return `${ends.length} ends`;
  if (usage?.completion_tokens !== tokens) return `${usage?.completion_tokens} tokens in place of ${tokens}`;
  if (!goesOnAsBefore(prompt, events.map(({ choices }) => choices[0]?.text ?? '').join(''), seen.texts))
    return 'another text than that of the same prompt before';
  counts.answered++;
  counts.events += events.length;
  counts.tokens += tokens;
  return undefined;
}

/** Of two answers to one prompt the shorter one begins the longer one. Half a character may stand at an end. */
function goesOnAsBefore(prompt, answer, texts) {
  const text = answer.replace(/\uFFFD+$/, '');
  const known = texts.get(prompt) ?? '';
  if (text.length > known.length) texts.set(prompt, text);
  return text.startsWith(known) || known.startsWith(text);
}

/**
 * @param {{ address: string, clients: number, until: () => boolean, mostTokens?: number, pauseMs?: number }} load `pauseMs`:
 * after a refusal
 * @returns counts, with every fault in words
 */
export async function runClients({ clients, until, pauseMs = 50, ...load }) {
  const counts = newCounts();
  const seen = { ids: new Set(), texts: new Map() };
  let next = 0;
  const client = async () => {
    while (!until()) {
      const { refused } = counts;
      counts.asked++;
      const fault = await askOnce(load, next++, counts, seen).catch(
        (error) => `${error}: ${error.cause ?? ''}`,
      );
      if (fault) counts.faults.push(fault);
      if (counts.refused > refused) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return counts;
}
