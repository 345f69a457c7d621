/** Figures of an answer, and which engine gave it. */
import { createHash } from 'node:crypto';
import type { Model } from '../../model.js';
import { packageVersion } from '../../version.js';
import type { TotalUsage } from '../generations.js';

export function usageBody({ promptTokens, completionTokens, cachedTokens }: TotalUsage) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

const fingerprints = new WeakMap<Model['info'], string>();

/** The same where the same seed gives the same answer: version, weights and kernels. */
export function fingerprintOf({ info }: Pick<Model, 'info'>): string {
  let fingerprint = fingerprints.get(info);
  if (fingerprint === undefined) {
    const { name, architecture, parameters, dtype, kvDtype, device, kernels } = info;
    const parts = [packageVersion(), name, architecture, parameters, dtype, kvDtype, device, kernels];
    fingerprint = `fp_${createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 12)}`;
    fingerprints.set(info, fingerprint);
  }
  return fingerprint;
}

/** As OpenAI names them. */
export function finishReasonOf(reason: string): string {
  return reason === 'abort' ? 'stop' : reason;
}
