/** What is said of a model from headers, and the table of docs/models.md: it says what the registry and the checkpoints say: a row for each family, and nothing else. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { supportedArchitectures } from '../../lib/architectures/index.js';
import { activeParametersOf } from '../../lib/layer-kinds.js';
import { native } from '../../lib/native.js';
import { attentionOf, feedForwardOf, layerCount, type ModelSpec, stateOf } from '../../lib/spec.js';
import { fixtures } from './golden.js';
import { describeAt } from './native-model.js';

/** Those that are older than the folder of families. */
const elsewhere: ReadonlyMap<string, { folder: string; gguf: string }> = new Map([
  ['llama', { folder: 'tiny-llama', gguf: 'tiny-llama-variants/f32.gguf' }],
  ['gpt2', { folder: 'tiny-gpt2', gguf: 'tiny-gpt2/tiny-gpt2-f32.gguf' }],
]);

const encoders = new Set(readdirSync(`${fixtures}encoders`));

const states = { short_conv: 'convolution', delta_net: 'delta net' } as const;

function words(spec: ModelSpec, layer: number): string[] {
  const state = stateOf(spec, layer);
  const attention = attentionOf(spec, layer)?.window === undefined ? 'full' : 'window';
  const { experts } = feedForwardOf(spec, layer);
  return [
    state ? states[state.kind] : attention,
    ...(experts ? ['experts'] : []),
    ...(experts?.sharedSize ? ['shared expert'] : []),
  ];
}

function kindsOf(spec: ModelSpec): string {
  const order = ['full', 'window', 'convolution', 'delta net', 'experts', 'shared expert'];
  const found = new Set(Array.from({ length: layerCount(spec) }, (_, layer) => words(spec, layer)).flat());
  return order.filter((word) => found.has(word)).join(', ');
}

async function ggufArchitecture(path: string): Promise<string> {
  if (!existsSync(path)) return '';
  const container = await native().openContainer([path]);
  try {
    return `\`${container.metadata['general.architecture']}\``;
  } finally {
    container.close();
  }
}

/** What stands behind the family's name: [model_type, GGUF architecture, layers, test]. */
async function cellsOf(family: string): Promise<string[]> {
  const own = elsewhere.get(family);
  const isEncoder = encoders.has(family);
  const folder = fixtures + (own?.folder ?? `${isEncoder ? 'encoders' : 'families'}/${family}`);
  const gguf = own ? fixtures + own.gguf : `${folder}/${family}.gguf`;
  const { architecture, spec } = await describeAt(folder);
  const test = own ? 'loaders.test.ts' : `${isEncoder ? 'encoder-' : ''}families.test.ts`;
  return [`\`${architecture}\``, await ggufArchitecture(gguf), kindsOf(spec), `\`${test}\``];
}

it('the parameters of a token are all but those of experts that it is not routed to', async () => {
  const { parameters, ...gptOss } = await describeAt(`${fixtures}families/gpt_oss`);
  // In three layers, four of six experts: gate, up and down, and their biases.
  const idle = 3 * 4 * (3 * 12 * 32 + 2 * 12 + 32);
  expect(activeParametersOf({ parameters, ...gptOss })).toBe(parameters - idle);
});

it('each family has its row, and each row its family', async () => {
  const page = readFileSync(new URL('../../docs/models.md', import.meta.url), 'utf8');
  const rows = page
    .split('\n')
    .filter((line) => /^\| .*`[\w-]+` \|/.test(line))
    .map((line) => line.split('|').slice(1, -1));
  expect(rows.filter(([name]) => name!.trim() === '')).toEqual([]);
  const written = rows.map(([, ...cells]) => cells.map((cell) => cell.trim()).join(' | '));
  const expected: string[] = [];
  // One folder is of a family that also generates.
  for (const family of new Set([...supportedArchitectures, ...encoders]))
    expected.push((await cellsOf(family)).join(' | '));
  expect(written.sort()).toEqual(expected.sort());
});
