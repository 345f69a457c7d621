/** `kvasir/ai-sdk`: loaded models for the AI SDK (`ai` 7, and 6). Only types of it are used here. */
export type { ModelSettings } from '../adapters/settings.js';
export {
  createKvasir,
  type Kvasir,
  type KvasirProvider,
  type KvasirV3,
  kvasir,
  kvasirV3,
} from './provider.js';
export type { EmbeddingSettings, RerankingSettings } from './text-models.js';
