/** `kvasir/langchain`: loaded models for LangChain; needs `@langchain/core` beside it. */
export type { ModelSettings } from '../adapters/settings.js';
export { ChatKvasir, type ChatKvasirCallOptions, type ChatKvasirFields } from './chat-model.js';
export type { OutputSchema } from './structured-output.js';
export {
  KvasirEmbeddings,
  type KvasirEmbeddingsFields,
  KvasirReranker,
  type KvasirRerankerFields,
} from './text-models.js';
