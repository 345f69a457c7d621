// The layers of lib/, checked by the stage `layers` (scripts/test.mjs). Types count as imports do: who needs a type
// of another folder knows of it.

/** Folder or file below lib/ -> what else it may import below lib/. The public API and the command line are above all. */
const rooms = {
  'errors.ts': [],
  'given.ts': ['errors.ts'],
  'node-require.ts': [],
  'package-root.ts': ['errors.ts', 'node-require.ts'],
  'quiet.ts': [],
  addon: ['node-require.ts'],
  'native.ts': [
    'addon',
    'errors.ts',
    'native-adapters.ts',
    'native-grammar.ts',
    'native-reports.ts',
    'native-tensors.ts',
    'native-vectors.ts',
    'node-require.ts',
    'package-root.ts',
  ],
  'native-adapters.ts': [],
  'native-grammar.ts': [],
  'native-reports.ts': [],
  'native-tensors.ts': [],
  'native-vectors.ts': [],
  'safetensors-file.ts': [],
  'out-file.ts': [],
  vectors: [
    ...['tokenizer', 'config-schema.ts', 'errors.ts', 'given.ts', 'native.ts', 'out-file.ts', 'regular-file.ts'],
  ],
  'python-json.ts': [],
  'regular-file.ts': ['errors.ts'],
  'json-scanner.ts': [],
  'shard-index.ts': ['errors.ts', 'json-scanner.ts', 'regular-file.ts'],
  generation: ['errors.ts', 'given.ts'],
  hub: ['errors.ts', 'given.ts', 'package-root.ts', 'shard-index.ts'],
  'config-schema.ts': ['errors.ts'],
  'spec.ts': ['config-schema.ts'],
  architectures: ['config-schema.ts', 'errors.ts', 'native.ts', 'spec.ts'],
  templates: ['errors.ts'],
  tokenizer: [
    ...['templates', 'errors.ts', 'given.ts', 'json-scanner.ts', 'native.ts', 'package-root.ts', 'python-json.ts'],
    ...['quiet.ts', 'regular-file.ts'],
  ],
  formats: [
    ...['architectures', 'hub', 'tokenizer', 'config-schema.ts', 'errors.ts', 'native.ts', 'options.ts'],
    ...['python-json.ts', 'regular-file.ts', 'shard-index.ts', 'spec.ts', 'classify'],
  ],
  saved: ['engine', 'errors.ts', 'given.ts', 'native.ts', 'out-file.ts'],
  lora: [
    ...['architectures', 'engine', 'formats', 'errors.ts', 'given.ts', 'memory.ts', 'native.ts'],
    ...['safetensors-file.ts', 'spec.ts'],
  ],
  'prompt-options.ts': ['lora', 'errors.ts', 'given.ts', 'tokenizer'],
  output: ['generation', 'structure'],
  tools: ['engine', 'output', 'structure', 'tokenizer', 'errors.ts', 'given.ts'],
  structure: ['generation', 'errors.ts', 'given.ts', 'native.ts', 'package-root.ts', 'quiet.ts'],
  speculation: ['errors.ts', 'given.ts'],
  'options.ts': [
    ...['generation', 'prompt-options.ts', 'speculation', 'structure', 'tools', 'given.ts', 'native.ts'],
  ],
  adapters: ['engine', 'given.ts', 'model.ts', 'options.ts', 'prompt.ts'],
  'ai-sdk': [
    ...['adapters', 'classify', 'embed', 'engine', 'output', 'structure', 'tools'],
    ...['errors.ts', 'given.ts', 'model.ts', 'options.ts', 'prompt.ts'],
  ],
  langchain: [
    ...['adapters', 'classify', 'embed', 'engine', 'structure', 'tools'],
    ...['errors.ts', 'given.ts', 'model.ts', 'options.ts', 'prompt.ts'],
  ],
  trace: [
    ...['engine', 'generation', 'errors.ts', 'given.ts', 'memory.ts', 'native.ts', 'out-file.ts'],
    ...['safetensors-file.ts', 'spec.ts', 'version.ts'],
  ],
  // The page's own code (browser/) imports nothing from elsewhere: nothing else is in the file.
  'trace-page': ['trace', 'compare', 'errors.ts', 'given.ts', 'info.ts', 'native.ts', 'spec.ts', 'version.ts'],
  engine: ['generation', 'output', 'speculation', 'structure', 'errors.ts', 'native.ts', 'options.ts'],
};

const pathOf = (name) => (name.endsWith('.ts') ? `^lib/${name.replace('.', '[.]')}$` : `^lib/${name}/`);

const roomRules = Object.entries(rooms).map(([name, allowed]) => ({
  name: `${name.replace('.ts', '')}-looks-down`,
  comment: `lib/${name} may import ${allowed.length > 0 ? `from lib/ only ${allowed.join(', ')}` : 'nothing of lib/'}.`,
  severity: 'error',
  from: { path: pathOf(name) },
  to: { path: '^lib/', pathNot: [name, ...allowed].map(pathOf) },
}));

const rules = [
  {
    name: 'no-cycles',
    comment: 'Modules that import each other cannot be read or tested one at a time.',
    from: {},
    to: { circular: true },
  },
  {
    name: 'one-loader',
    comment: 'Only lib/native.ts loads the addon.',
    from: { path: '^lib/', pathNot: '^lib/native[.]ts$' },
    to: { path: '[.]node$' },
  },
  {
    name: 'command-line-on-top',
    comment: 'The command line uses the library, never the other way round.',
    from: { path: '^lib/', pathNot: '^lib/cli/' },
    to: { path: '^lib/cli/' },
  },
  {
    name: 'public-api-on-top',
    comment: 'lib/index.ts gathers what is public: only the command line may import it.',
    from: { path: '^lib/', pathNot: '^lib/cli/' },
    to: { path: '^lib/index[.]ts$' },
  },
  {
    name: 'server-on-top',
    comment: 'The server uses loaded models; only the command line may import it.',
    from: { path: '^lib/', pathNot: '^lib/(cli|server)/' },
    to: { path: '^lib/server/' },
  },
  {
    name: 'server-serves-models',
    comment: 'The server knows models and their tokenizer, neither families nor the inside of tokenizers or engines.',
    from: { path: '^lib/server/' },
    to: { path: '^lib/(architectures/|formats/|hub/|tokenizer/(?!tokenizer[.]ts$)|engine/(?!run[.]ts$))' },
  },
  {
    name: 'protocols-stand-beside-each-other',
    comment: "A protocol's folder knows nothing of another's; what they share is in lib/server itself.",
    from: { path: '^lib/server/(\\w+)/' },
    to: { path: '^lib/server/\\w+/', pathNot: '^lib/server/$1/' },
  },
  {
    name: 'commands-use-the-library',
    comment: 'The command line knows models, not the reading of checkpoints or tokenizers.',
    from: { path: '^lib/cli/' },
    to: { path: '^lib/(architectures|tokenizer)/' },
  },
  {
    name: 'compare-compares-models',
    comment: 'compare works on loaded models: it knows neither families nor the inside of tokenizers.',
    from: { path: '^lib/compare/' },
    to: { path: '^lib/(architectures/|tokenizer/(?!tokenizer[.]ts$))' },
  },
  {
    name: 'tokenizer-threads-are-private',
    comment: "What runs on the tokenizer's thread, and how it is spoken to, is lib/tokenizer's own.",
    from: { path: '^lib/', pathNot: '^lib/tokenizer/' },
    to: { path: '^lib/tokenizer/(worker|thread|client|serving|encoding-pipeline)[.]ts$' },
  },
  {
    name: 'the-page-stands-alone',
    comment: "The page's code runs in a browser: it knows nothing of the package, and nobody imports it.",
    from: { path: '^lib/trace-page/browser/' },
    to: { pathNot: '^lib/trace-page/browser/' },
  },
  {
    name: 'everything-resolves',
    comment: 'An import that is not found would not be checked.',
    from: {},
    to: { couldNotResolve: true },
  },
].map((rule) => ({ severity: 'error', ...rule }));

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [...rules, ...roomRules],
  options: {
    // TypeScript 7 has no compiler API that the cruiser could use.
    parser: 'swc',
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
};
