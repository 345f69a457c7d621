/**
 * Converts the two embedded models from their published forms into Hugging Face folders under models/.
 * Deterministic: the same input gives the same bytes. Uses nothing but Node itself.
 *
 *   node scripts/convert-embedded-models.mjs <data folder> [output folder, default models/]
 *
 * The data folder holds stories260K.bin, tok512.bin and gpt-nano-sort-model.json.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { letterTokenizer, readNanoGpt } from './embedded/nano-gpt.mjs';
import { safetensors } from './embedded/safetensors.mjs';
import { readPieces, readStories, storiesTokenizer } from './embedded/stories.mjs';

const MIT_TERMS = `Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
`;

function writeModel(folder, files) {
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    const plain = Buffer.isBuffer(content) || typeof content === 'string';
    writeFileSync(join(folder, name), plain ? content : `${JSON.stringify(content, null, 2)}\n`);
  }
}

function main([data, output = fileURLToPath(new URL('../models', import.meta.url))]) {
  if (!data) {
    console.error('usage: node scripts/convert-embedded-models.mjs <data folder> [output folder]');
    process.exitCode = 2;
    return;
  }
  const stories = readStories(readFileSync(join(data, 'stories260K.bin')));
  const pieces = readPieces(readFileSync(join(data, 'tok512.bin')));
  writeModel(join(output, 'stories-260k'), {
    'config.json': stories.config,
    // The stories are separated by BOS, so it ends one just as EOS does.
    'generation_config.json': { bos_token_id: 1, eos_token_id: [1, 2] },
    'model.safetensors': safetensors(stories.tensors),
    'tokenizer.json': `${JSON.stringify(storiesTokenizer(pieces))}\n`,
    'tokenizer_config.json': {
      tokenizer_class: 'PreTrainedTokenizerFast',
      bos_token: '<s>',
      eos_token: '</s>',
      unk_token: '<unk>',
      add_bos_token: true,
      add_eos_token: false,
      clean_up_tokenization_spaces: false,
      model_max_length: stories.config.max_position_embeddings,
    },
    LICENSE: `stories260K from "tinyllamas" by Andrej Karpathy, converted to safetensors. MIT License.\n\nCopyright (c) 2023 Andrej\n\n${MIT_TERMS}`,
  });

  const nano = readNanoGpt(JSON.parse(readFileSync(join(data, 'gpt-nano-sort-model.json'), 'utf8')));
  writeModel(join(output, 'nano-gpt-sort'), {
    'config.json': nano.config,
    'generation_config.json': { max_new_tokens: 6, do_sample: false },
    'model.safetensors': safetensors(nano.tensors),
    'tokenizer.json': `${JSON.stringify(letterTokenizer(['A', 'B', 'C']))}\n`,
    'tokenizer_config.json': {
      tokenizer_class: 'PreTrainedTokenizerFast',
      clean_up_tokenization_spaces: false,
      model_max_length: nano.config.n_positions,
    },
    LICENSE: `gpt-nano-sort from "llm-viz" by Brendan Bycroft, converted to safetensors. MIT License.\n\nCopyright (c) 2023-2026 Brendan Bycroft\n\n${MIT_TERMS}`,
  });
}

main(process.argv.slice(2));
