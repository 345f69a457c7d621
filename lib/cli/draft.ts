/** `--draft`: a second model, loaded beside the first one, that drafts for it. */
import { type Command, Option } from 'commander';
import type { GenerateOptions, LoadOptions } from '../options.js';
import type { DraftOptions } from '../speculation/options.js';
import { UsageError } from './failure.js';
import { parseInteger } from './flag-values.js';
import { withModel } from './load.js';

export interface DraftFlags {
  draft?: string;
  draftTokens?: number;
}

export function addDraftFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--draft <model>', 'a smaller model of the same vocabulary, which drafts tokens').conflicts(
        'speculate',
      ),
    )
    .addOption(
      new Option('--draft-tokens <count>', 'that it drafts for a step, 1 to 16 (default: 6)').argParser(
        parseInteger,
      ),
    );
}

/** @param use called with what `speculate` becomes; undefined without the flag. Throws UsageError. */
export async function withDraft<T>(
  { draft, draftTokens: tokens }: DraftFlags,
  { device, dtype, kvDtype, threads, signal }: LoadOptions & { signal: AbortSignal },
  use: (speculate: DraftOptions | undefined) => Promise<T>,
): Promise<T> {
  if (draft === undefined) {
    if (tokens !== undefined) throw new UsageError('--draft-tokens needs --draft.');
    return use(undefined);
  }
  return withModel(draft, { device, dtype, kvDtype, threads, signal }, (model) =>
    use({ draft: model, tokens }),
  );
}

/** The options of one answer. */
export function drafted(options: GenerateOptions, speculate: DraftOptions | undefined): GenerateOptions {
  return speculate === undefined ? options : { ...options, speculate };
}
