/** Reads a GGUF file with a LoRA adapter, as llama.cpp's converter writes it. */
import { cut } from '../given.js';
import { native, rethrow } from '../native.js';
import type { AdapterFile } from './low-rank.js';
import { damagedAdapter, type Half, readModules, unsupportedAdapter } from './read-modules.js';

const tensorName = /^(.+)\.weight\.lora_([ab])$/;

function halfOf(path: string, tensor: string): Half {
  const [, module, side] = tensorName.exec(tensor) ?? [];
  if (module === undefined) throw unsupportedAdapter(path, `the tensor ${cut(tensor, 120)}`);
  return { module, side: side === 'a' ? 'a' : 'b' };
}

/** Throws MODEL_NOT_FOUND, MODEL_FORMAT, UNSUPPORTED_ARCHITECTURE. */
export async function readGgufLora(path: string): Promise<AdapterFile> {
  const container = await native().openContainer([path]).catch(rethrow);
  try {
    const { metadata } = container;
    const text = (name: string): string | undefined => {
      const value = metadata[name];
      return typeof value === 'string' ? value : undefined;
    };
    const type = text('general.type');
    if (type !== 'adapter')
      throw damagedAdapter(
        path,
        `general.type is ${type === undefined ? 'missing' : `'${cut(type)}'`}, not 'adapter'`,
      );
    const kind = text('adapter.type') ?? '';
    if (kind !== 'lora') throw unsupportedAdapter(path, `the type '${cut(kind)}' (lora is)`);
    if ('adapter.alora.invocation_tokens' in metadata)
      throw unsupportedAdapter(path, 'tokens that switch it on (adapter.alora.invocation_tokens)');
    const alpha = metadata['adapter.lora.alpha'];
    if (typeof alpha !== 'number' || !Number.isFinite(alpha))
      throw damagedAdapter(path, 'adapter.lora.alpha is no number');
    // An alpha of 0 stands for a scale of 1.
    const scaleOf = (_: string, rank: number): number => (alpha === 0 ? 1 : alpha / rank);
    return {
      format: 'gguf',
      modules: await readModules(path, container, (tensor) => halfOf(path, tensor), scaleOf),
      baseModel: text('general.base_model.0.name'),
      architecture: text('general.architecture'),
    };
  } finally {
    container.close();
  }
}
