/** The analysis of layers knows every linear of every family: those that the table of tensors has, and no number is missing. */
import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { InspectedModel } from '../../lib/compare/layer-linears.js';
import { analyzeLayers, type LayerAnalysis } from '../../lib/compare/layers.js';
import { linearNames, withoutExpert } from '../../lib/keep-fp32.js';
import { native } from '../../lib/native.js';
import { attentionOf, feedForwardOf, specToJson } from '../../lib/spec.js';
import { fixtures } from './golden.js';
import { describeAt, loadNative } from './native-model.js';

const folder = `${fixtures}families/`;

it.each(readdirSync(folder))('%s', async (family) => {
  const described = await describeAt(folder + family);
  const { spec, tensors } = described;
  const settings = { dtype: 'int8', contextLength: 64, kvCapacity: 64 } as const;
  const load = async (kvDtype: 'fp32' | 'int8', keepFp32: string[]) =>
    (await loadNative(described, { ...settings, kvDtype, keepFp32 })) as InspectedModel;
  const reference = await load('fp32', linearNames(described));
  const quantized = await load('int8', []);
  try {
    const window = Int32Array.from({ length: 32 }, (_, i) => (i * 37) % Math.min(90, spec.vocabSize));
    const { signal } = new AbortController();
    const found: LayerAnalysis = { layers: [], sensitivity: [] };
    const given = { reference, quantized, spec, window, full: false, signal, onProgress: () => {} };
    await analyzeLayers(given, found);
    const linears = found.layers.flatMap((layer) => layer.linears);
    const table = native()
      .tensorsOf(specToJson(spec))
      .filter(({ role, optional, name }) => role !== 'vector' && (!optional || `${name}.weight` in tensors));
    const names = new Set(table.map(({ name }) => withoutExpert(name)));
    expect(linears.map(({ name }) => name)).toEqual([...names]);
    const float32 = table.filter((one) => one.float32).map(({ name }) => name);
    for (const { name, weightNmse, local, accumulated } of linears) {
      const isRounded = !float32.includes(name);
      expect([name, weightNmse > 1e-6, local.nmse > 1e-7]).toEqual([name, isRounded, isRounded]);
      expect([name, weightNmse < 1e-3, local.nmse < 1e-3]).toEqual([name, true, true]);
      expect([name, Number.isFinite(accumulated.nmse)]).toEqual([name, true]);
    }
    const experts = spec.stack.layers.filter((_, layer) => feedForwardOf(spec, layer).experts !== undefined);
    expect(linears.filter(({ name }) => name.endsWith('.experts.down'))).toHaveLength(experts.length);
    const gates = spec.stack.layers.filter((_, layer) => attentionOf(spec, layer)?.outputGate === true);
    expect(linears.filter(({ name }) => name.endsWith('.attn_gate'))).toHaveLength(gates.length);
  } finally {
    await reference.dispose();
    await quantized.dispose();
  }
});
