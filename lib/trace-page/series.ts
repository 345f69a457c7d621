/** The page as twenty files, one for each part: each holds what its part shows, and leads to the others beside it. */
import { type PageContent, pageHtml } from './page.js';
import { charactersOf, type ValueEntry } from './values.js';

interface SeriesPart {
  /** Of its file. */
  name: string;
  /** Last parts of the names of the tensors that it shows. */
  tensors: readonly string[];
}

/** The residual stream before a layer. */
const before = ['embed', 'ffn_residual'];
/** What a layer with a state shows in the place of attention. */
const state = ['conv_in', 'delta_in', 'delta_gates'];

/** In the order of the page; 'cell' and 'weight': rows of linears, and norms. */
const parts: readonly SeriesPart[] = [
  { name: 'tokens', tensors: [] },
  { name: 'token-embedding', tensors: ['token_embed'] },
  { name: 'position-embedding', tensors: ['position_embed'] },
  { name: 'embedding-sum', tensors: ['embed', 'token_embed', 'position_embed'] },
  { name: 'layer-norm', tensors: [...before, 'attn_norm', 'weight'] },
  { name: 'self-attention', tensors: [...state, 'weights'] },
  { name: 'query-key-value', tensors: [...state, 'attn_norm', 'q', 'k', 'v', 'cell'] },
  { name: 'attention-scores', tensors: [...state, 'q_rotated', 'k_rotated', 'scores'] },
  { name: 'causal-mask', tensors: [...state, 'scores'] },
  { name: 'softmax', tensors: [...state, 'scores', 'weights'] },
  { name: 'weighted-values', tensors: [...state, 'attended', 'weights', 'v'] },
  { name: 'projection', tensors: [...state, ...before, 'attn_residual', 'attn_gated', 'attended', 'cell'] },
  {
    name: 'feed-forward',
    tensors: [
      ...['ffn_norm', 'gate', 'up', 'activation', 'attn_residual', 'ffn_residual', 'cell'],
      ...['router', 'experts_used', 'experts'],
    ],
  },
  { name: 'residuals', tensors: [...before, 'attn_residual'] },
  { name: 'block', tensors: [] },
  { name: 'stacking', tensors: before },
  { name: 'output-layer', tensors: ['final_norm', 'cell'] },
  { name: 'output-softmax', tensors: ['final_norm'] },
  { name: 'scaling', tensors: [] },
  { name: 'pipeline', tensors: [] },
];

/** '07-query-key-value.html' */
export const seriesFiles: readonly string[] = parts.map(
  ({ name }, i) => `${String(i + 1).padStart(2, '0')}-${name}.html`,
);

/** The part that lists all components of a layer, with their shapes and statistics but without their values. */
const block = parts.findIndex(({ name }) => name === 'block') + 1;

function isShown({ tensors }: SeriesPart, name: string): boolean {
  const [first] = name.split('.');
  return tensors.includes(first!) || tensors.includes(name.slice(name.lastIndexOf('.') + 1));
}

/** @param part from 1 */
function contentOf({ data, values }: PageContent, part: number): PageContent {
  const tensors: Record<string, ValueEntry> = {};
  const texts: string[] = [];
  let at = 0;
  for (const [name, entry] of Object.entries(data.tensors)) {
    if (part === block) tensors[name] = { ...entry, at: 0, count: 0 };
    if (!isShown(parts[part - 1]!, name)) continue;
    const size = charactersOf(entry.count, data.kind);
    tensors[name] = { ...entry, at };
    texts.push(values.slice(entry.at, entry.at + size));
    at += size;
  }
  const statistics = part === block ? data.statistics : {};
  const timeline = part === parts.length ? data.timeline : undefined;
  const own = { part, series: seriesFiles, tensors, statistics, timeline };
  return { data: { ...data, ...own }, values: texts.join('') };
}

/** @param content of a page without a comparison */
export function* seriesPages(content: PageContent): Generator<{ file: string; html: string }> {
  for (const [i, file] of seriesFiles.entries()) yield { file, html: pageHtml(contentOf(content, i + 1)) };
}
