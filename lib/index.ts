/** The public API, nothing else. @module kvasir */
export { Adapter, type AdapterInfo } from './lora/adapter.js';
export type { Classification, ClassifyOptions } from './classify/classify.js';
export type { Reranked, RerankOptions } from './classify/rerank.js';
export { compare, comparisonPage } from './compare/index.js';
export type { EmbedRun, EmbedSpeed, EmbedSpeedup } from './compare/embed-latency.js';
export type { LatencyRun, LengthSpeedup, MeasuredSpeedup } from './compare/latency-report.js';
export type { LayerError, LinearError, Sensitivity } from './compare/layers.js';
export type { ModeMemory } from './compare/memory.js';
export type { CompareOptions, ComparePart, ComparePhase, CompareProgress, Mode } from './compare/options.js';
export type { Divergence } from './compare/quality.js';
export type { HistogramBin, ProbabilityChange } from './compare/quality-statistics.js';
export type { Recipe } from './compare/recipe.js';
export type {
  Check,
  CompareReport,
  HeadlineSpeedup,
  MachineReport,
  ModeReport,
  QualityReport,
} from './compare/report.js';
export type { TensorError } from './compare/tensor-error.js';
export type { VectorQuality } from './compare/vectors.js';
export type {
  BooleanDecisionOptions,
  ChoiceOptions,
  DecideOptions,
  Decision,
  ScoreDecisionOptions,
} from './decide.js';
export type { Embeddings, ShortenedText } from './embed/embed.js';
export type { EmbedTokensOptions, TokenEmbeddings } from './embed/embed-tokens.js';
export type { EmbedOptions, EmbedProgress } from './embed/embed-options.js';
export type { Pooling } from './embed/pooling.js';
export { KvasirError, type KvasirErrorCode } from './errors.js';
export type { Choice, FinishReason, Generation, GenerationChunk, GenerationResult } from './engine/run.js';
export type { TextChunk, ToolCallChunk } from './engine/chunks.js';
export type { GeneratedLogprob, TokenLogprob } from './generation/logprobs.js';
export type { MemoryInfo, ModelInfo } from './info.js';
export { Model } from './model.js';
export type { LayerKindInfo } from './layer-kinds.js';
export type { KvDtype } from './native.js';
export type { GenerateOptions, LoadOptions, LoadProgress } from './options.js';
export type { ResponseFormat } from './structure/response-format.js';
export type { Message, Prompt } from './prompt.js';
export type { ChatMessage } from './tokenizer/chat-messages.js';
export type { ToolCall } from './output/pieces.js';
export type { ScoreOptions, ScoreResult } from './score.js';
export type { Overflow as SessionOverflow } from './prompt-options.js';
export { mergeModel, type MergeOptions, type MergeProgress, type MergeResult } from './merge.js';
export type { DraftModel, DraftOptions, Speculate } from './speculation/options.js';
export { ChatSession, type SessionOptions } from './session.js';
export type { RestoreOptions } from './sessions.js';
export {
  type ChatTemplateOptions,
  type DecodeOptions,
  type EncodeOptions,
  type StreamingDecoder,
  type StreamingDecoderOptions,
  type TokensWithOffsets,
  Tokenizer,
} from './tokenizer/tokenizer.js';
export type {
  FunctionTool,
  ReasoningOptions,
  ToolChoice,
  ToolDefinition,
  ToolFormat,
  ToolFunction,
} from './tools/definitions.js';
export type { Contribution } from './trace/attribution.js';
export { TracedTensor, type TensorStatistics } from './trace/tensor.js';
export type { Draw, SamplerStage } from './trace/draws.js';
export type { TraceFormat } from './trace/formats.js';
export type { ComponentTime, Timeline } from './trace/timeline.js';
export {
  Trace,
  type Candidate,
  type LensRow,
  type Neighbour,
  type NeighbourRow,
  type Prediction,
  type SaveOptions,
  type TracedToken,
} from './trace/trace.js';
export type {
  Attributed,
  Intervention,
  TraceOptions,
  TraceSampling,
  TraceTensorName,
} from './trace/trace-options.js';
export type { Guard, GuardContext, GuardVerdict, LogitsContext, ProcessLogits } from './generation/hooks.js';
export {
  citedPassages,
  type PackedPassage,
  type PackedPassages,
  type PackOptions,
  packPassages,
  type Passage,
  type TokenCounter,
} from './tools/passages.js';
export type { RunnableTool, RunToolsOptions, RunToolsResult, ToolContext } from './tools/run-tools.js';
export { assistantMessage, toolMessage } from './tools/messages.js';
export { similarity, type Vector } from './vectors/given-vectors.js';
export {
  type SearchHit,
  type SearchOptions,
  VectorIndex,
  type VectorIndexOptions,
} from './vectors/vector-index.js';
export type { StaticEmbedOptions } from './vectors/static-texts.js';
export { staticVectors, type StaticVectorsOptions } from './vectors/static-vectors.js';
export type { TokenVectorsOptions } from './vectors/token-vectors.js';
export { type NearWord, WordVectors } from './vectors/word-vectors.js';
