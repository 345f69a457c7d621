/** A tokenizer of one token for each ASCII character, with a chat template and special tokens of the test's choice. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Tokenizer } from '../../lib/tokenizer/tokenizer.js';

/** Special tokens have ids from 200 on. */
export async function chatTokenizer(
  template: string,
  special: readonly string[],
): Promise<{ tokenizer: Tokenizer; idsOf(text: string): number[]; close(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-tools-'));
  const vocab: Record<string, number> = {};
  for (let id = 0; id < 200; ++id) vocab[id < 0x7f ? String.fromCharCode(id) : `[${id}]`] = id;
  const write = (name: string, content: object): string => {
    writeFileSync(join(folder, name), JSON.stringify(content));
    return join(folder, name);
  };
  const path = write('tokenizer.json', {
    added_tokens: special.map((content, i) => ({ id: 200 + i, content, special: true })),
    model: { type: 'BPE', vocab, merges: [] },
    decoder: { type: 'Fuse' },
  });
  const configPath = write('tokenizer_config.json', { chat_template: template, eos_token: special[0] });
  const tokenizer = await Tokenizer.load({ kind: 'tokenizer-json', path, configPath });
  return {
    tokenizer,
    idsOf: (text) => Array.from(tokenizer.encode(text, { addSpecialTokens: false })),
    close: async () => {
      await tokenizer.dispose();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Turns between special tokens; tools, calls and results as Hermes has them. */
export const chatTemplate =
  '{% if tools %}<tools>{{ tools | tojson }}</tools><tool_call>{"name": n}</tool_call><end>{% endif %}' +
  '{% for m in messages %}<turn>{{ m.role }}:' +
  '{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}' +
  '{% for c in m.tool_calls or [] %}<tool_call>{"name": "{{ c.function.name }}", "arguments": ' +
  '{{ c.function.arguments | tojson }}}</tool_call>{% endfor %}<end>{% endfor %}' +
  '{% if add_generation_prompt %}<turn>assistant:{% endif %}';
