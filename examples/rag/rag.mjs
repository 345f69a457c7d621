// Questions about a folder of Markdown, answered from the passages that fit best: by default this repository's own docs.
//   node examples/rag/rag.mjs "How are cut index files found out?"           the best passages
//   node examples/rag/rag.mjs --answer smollm2-135m "..."                     and an answer from them, with citations
//   node examples/rag/rag.mjs --docs ./notes --model minilm-l6-v2             questions come from stdin, one a line
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { Model, packPassages, VectorIndex } from 'kvasir';
import { passagesOf } from './passages.mjs';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    docs: { type: 'string', default: new URL('../../docs', import.meta.url).pathname },
    model: { type: 'string', default: 'minilm-l6-v2' },
    answer: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

const encoder = await Model.load(flags.model);
const answerer = flags.answer === undefined ? undefined : await Model.load(flags.answer);
const passages = passagesOf(flags.docs);
const index = new VectorIndex(encoder.info.hiddenSize);
await index.add(await encoder.embed(passages.map(({ title, text }) => `${title}\n${text}`), { overflow: 'truncate' }));

async function ask(question) {
  const [query] = await encoder.embed(question);
  const hits = (await index.search(query, 5)).map(({ index: i, score }) => ({ ...passages[i], score }));
  if (flags.json) return console.log(JSON.stringify({ question, hits }));
  for (const { file, title, score } of hits) console.log(`${score.toFixed(3)}  ${file}: ${title}`);
  if (answerer === undefined) return console.log(`\n${hits[0].text}\n`);
  const packed = await packPassages(answerer.tokenizer, hits, { maxTokens: 800 });
  const content = `${packed.text}\n\n${question}`;
  for await (const { text } of answerer.generate([{ role: 'user', content }], { maxTokens: 200, temperature: 0 })) {
    process.stdout.write(text);
  }
  console.log('\n');
}

if (positionals.length > 0) await ask(positionals.join(' '));
else for await (const line of createInterface({ input: process.stdin })) if (line.trim() !== '') await ask(line.trim());
await Promise.all([encoder.dispose(), answerer?.dispose(), index.dispose()]);
