import type { VocabularyMetadata } from '../../lib/tokenizer/gguf-vocabulary.js';

export function ggufMetadata(definition: object, pre: string | undefined): VocabularyMetadata;
export function sayableInGguf<Definition extends object>(definition: Definition, pre: string | undefined): Definition;
