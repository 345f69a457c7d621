// The benchmarks of gpu-check: what is measured, what share of the device's peaks that is, and the table. The numbers come
// from `kvasir bench --json`, which drives the public engine.

/**
 * Measured for each model and dtype: `prefill` tokens of a prompt (of each of `batch`), then `tokens` decoded after
 * `depth`. The default model has 2048 positions or more; what does not fit into a model's context is left out.
 */
export const benchWorks = [
  { prefill: 512, tokens: 128, depth: 0, batch: 1 },
  { prefill: 1536, tokens: 128, depth: 1024, batch: 1 },
  { prefill: 512, tokens: 128, depth: 0, batch: 8 },
  { prefill: 512, tokens: 128, depth: 1024, batch: 8 },
  { prefill: 512, tokens: 128, depth: 0, batch: 32 },
];

/**
 * INT8 multiplications and additions that a multiprocessor's tensor cores finish in a cycle, dense, as NVIDIA's data
 * sheets give them for the device (T4 130, A100 624, RTX 3090 284, RTX 4090 661, H100 and H200 1979, B200 4500,
 * RTX 5090 838 tera-operations a second) over its multiprocessors and boost clock, rounded to the power of two.
 */
const int8OperationsPerCycle = { 75: 2048, 80: 4096, 86: 2048, 89: 2048, 90: 8192, 100: 16384, 120: 2048 };

const architectureOf = (device) => Number(device.architecture.replace('sm_', ''));

/** INT8 operations a second at the clock that the driver gives as the most; undefined where it gives none. */
export function int8Peak(device) {
  const architecture = architectureOf(device);
  const known = Object.keys(int8OperationsPerCycle).map(Number);
  // An architecture between two has what the one before has.
  const nearest = known.filter((one) => one <= architecture).at(-1);
  if (nearest === undefined || device.clock === undefined) return undefined;
  return int8OperationsPerCycle[nearest] * device.multiprocessors * device.clock;
}

/** Multiplications and additions of the linears for one token of a prompt, without the output layer (one row a prompt). */
export function operationsPerToken(linears) {
  const inner = Object.entries(linears).filter(([name]) => /^layers\./.test(name));
  return inner.reduce((sum, [, { inputs, outputs }]) => sum + 2 * inputs * outputs, 0);
}

/**
 * What a measurement is of the device's peaks: decode of its memory bandwidth, by the bytes that a step must read (as the
 * bench counts them), prefill in INT8 of its INT8 peak.
 */
export function sharesOf({ dtype, prefill, decode }, device, operations) {
  const { weights, scales, kv } = decode.bytesPerToken;
  const peak = int8Peak(device);
  const bandwidth = device.bandwidth && ((weights + scales + kv) * decode.tokensPerSecond) / device.bandwidth;
  const int8 = dtype === 'int8' && peak ? (operations * prefill.tokensPerSecond) / peak : undefined;
  return { ...(bandwidth ? { bandwidth } : {}), ...(int8 ? { int8 } : {}) };
}

const percent = (share) => (share === undefined ? '-' : `${(100 * share).toFixed(1)} %`);
const rate = (tokensPerSecond) => Math.round(tokensPerSecond).toString();
const spread = (samples) => `${rate(Math.min(...samples))} to ${rate(Math.max(...samples))}`;

/** The report for people. */
export function markdownOf({ date, device, driverVersion, kvasir, commit, parity, benchmarks }) {
  const peak = int8Peak(device);
  const facts = [
    `${device.name}, ${device.architecture}, ${device.multiprocessors} multiprocessors`,
    `memory ${(device.totalMemory / 2 ** 30).toFixed(1)} GiB`,
    device.bandwidth ? `${(device.bandwidth / 1e9).toFixed(0)} GB/s by clock and width` : 'bandwidth unknown',
    peak ? `INT8 peak ${(peak / 1e12).toFixed(0)} tera-operations/s` : 'INT8 peak unknown',
    `driver for CUDA ${driverVersion}`,
  ];
  const lines = [
    `Kvasir ${kvasir} (${commit}) on a GPU, ${date}: ${facts.join(', ')}.`,
    '',
    ...parity.map(
      ({ name, passed, detail }) =>
        `- ${passed ? 'equal' : 'DIFFERENT'}: ${name}${detail ? ` (${detail})` : ''}`,
    ),
    '',
    '| model | dtype | batch | prompt | prefill, tokens/s | of the INT8 peak | depth | decode, tokens/s | of the bandwidth |',
    '|---|---|--:|--:|--:|--:|--:|--:|--:|',
  ];
  for (const { model, dtype, prefill, decode, shares } of benchmarks) {
    const cells = [model, dtype, decode.batch, prefill.tokens];
    cells.push(
      `${rate(prefill.tokensPerSecond)} (${spread(prefill.samples)})`,
      percent(shares.int8),
      decode.depth,
    );
    cells.push(`${rate(decode.tokensPerSecond)} (${spread(decode.samples)})`, percent(shares.bandwidth));
    lines.push(`| ${cells.join(' | ')} |`);
  }
  return `${lines.join('\n')}\n`;
}
