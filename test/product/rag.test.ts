/**
 * The example that answers questions about this repository's docs: ten questions, the right passage first in at least eight.
 * Of the docs the pages that have the answers, nightly all.
 */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { resolveModel } from '../../lib/hub/index.js';
import { packageRoot } from '../../lib/native.js';
import { RunningCommand } from '../cli/cli-command.js';
import { fixtures } from '../model/golden.js';
import { isNightly } from '../nightly.js';

const example = join(packageRoot, 'examples', 'rag', 'rag.mjs');
const name = 'minilm-l6-v2';
/** Undefined where the machine does not have it. */
const found = await resolveModel(name, { download: false }).catch(() => undefined);
const missing = found ? '' : ` [skipped: no MiniLM here, node dist/cli/main.js pull ${name}]`;

/** A question, and the page and the words of the passage that answers it. */
const questions: [string, string, RegExp][] = [
  ['What can be done with a text that is too long to embed?', 'embeddings.md', /`chunk`|truncate/],
  ['How does reranking of documents with a cross-encoder work?', 'classification.md', /cross-encoder/],
  ['How many bytes does a block of INT8 weights have?', 'int8-format.md', /2,112 bytes/],
  ['What happens when a saved vector index file is cut or damaged?', 'vectors.md', /SHA-256/],
  ['Which samplers are there, and in which order do they run?', 'generation.md', /top|sampler/i],
  ['How does the server authenticate requests with keys?', 'server.md', /key/i],
  ['How is a JSON schema enforced while the model generates?', 'structured-output.md', /schema|grammar/i],
  ['Which files do I touch to add a GGUF block type?', 'extending.md', /block_types/],
  ['Why are the kernels for the GPU tested over an emulation?', 'decisions/cuda-emulation.md', /have no GPU/],
  [
    'Why are model files read with pread instead of being memory mapped?',
    'decisions/pread-never-mmap.md',
    /pread|map/,
  ],
];

interface Answer {
  question: string;
  hits: { file: string; title: string; text: string; score: number }[];
}

async function ask(lines: readonly string[], flags: readonly string[]): Promise<Answer[]> {
  const command = new RunningCommand(process.execPath, [example, '--json', ...flags], {
    KVASIR_THREADS: '2',
  });
  const { stdout, stderr, status } = await command.end(lines.join('\n'), 450_000);
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

it.skipIf(found === undefined)(
  `the right passage is first for at least eight of ten questions${missing}`,
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kvasir-rag-'));
    for (const [, file] of questions) cpSync(join(packageRoot, 'docs', file), join(folder, file));
    const answers = await ask(
      questions.map(([question]) => question),
      isNightly ? [] : ['--docs', folder],
    );
    rmSync(folder, { recursive: true });
    const right = questions.map(([question, file, words], i) => {
      const [best] = answers[i]!.hits;
      expect(answers[i]!.question).toBe(question);
      return best!.file === file && words.test(best!.text);
    });
    const failed = questions.filter((_, i) => !right[i]).map(([question]) => question);
    expect(failed.length, failed.join('\n')).toBeLessThanOrEqual(2);
  },
  600_000,
);

it('takes other folders and models, and cuts pages at their headings', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-rag-'));
  try {
    const page =
      '# House\n\nIt is old.\n\n## Roof\n\nRed tiles.\n\n## Cellar\n\n| what | where |\n|---|---|\n| wine | left |\n';
    writeFileSync(join(folder, 'house.md'), page);
    const [answer] = await ask(['tiles'], ['--docs', folder, '--model', `${fixtures}encoders/bert`]);
    const passages = answer!.hits.map(({ title, text }) => [title, text]).sort();
    expect(passages).toEqual([
      ['House', 'It is old.'],
      ['House: Cellar', 'what; where\n\nwine; left'],
      ['House: Roof', 'Red tiles.'],
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
