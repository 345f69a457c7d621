/** The numbers of `compare`, against naive formulas, closed forms and simulations. */
import { describe, expect, it } from 'vitest';
import { compareRows } from '../../lib/compare/divergence.js';
import { estimateMean, percentile, QualityAccumulator } from '../../lib/compare/quality-statistics.js';
import {
  estimateSpeedup,
  halfWidth,
  median,
  type Quad,
  spread,
  turnOrder,
} from '../../lib/compare/speedup.js';
import { Random } from '../../lib/generation/random.js';
import { amount } from '../nightly.js';

const logits = (probabilities: readonly number[], shift = 0) =>
  Float32Array.from(probabilities, (p) => Math.log(p) + shift);

/** By the definition, probability by probability. */
function naive(reference: Float32Array, other: Float32Array): number {
  const softmax = (row: Float32Array) => {
    const powers = Array.from(row, (x) => Math.exp(x));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((x) => x / sum);
  };
  const [p, q] = [softmax(reference), softmax(other)];
  return p.reduce((sum, share, i) => sum + (share > 0 ? share * Math.log(share / q[i]!) : 0), 0);
}

/** Normal numbers, by Box and Muller. */
function normals(seed: number): () => number {
  const random = new Random(seed);
  return () => Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
}

describe('comparing two rows of logits', () => {
  it('is the divergence of known distributions, whatever is added to all logits', () => {
    const { kl, sameTop, referenceNll, otherNll } = compareRows(
      logits([0.5, 0.25, 0.25], 20),
      logits([0.25, 0.5, 0.25], -10),
      2,
    );
    // Each float32 logit near 20 is rounded by up to 1e-6.
    expect(kl).toBeCloseTo(0.25 * Math.log(2), 5);
    expect(sameTop).toBe(false);
    expect(referenceNll).toBeCloseTo(Math.log(4), 5);
    expect(otherNll).toBeCloseTo(Math.log(4), 5);
  });

  it('equals the definition on random rows, in one direction', () => {
    const normal = normals(3);
    for (const size of [1, 2, 5, 1000]) {
      const reference = Float32Array.from({ length: size }, () => 4 * normal());
      const other = reference.map((x) => x + 0.3 * normal());
      const { kl } = compareRows(reference, other, 0);
      expect(kl).toBeCloseTo(naive(reference, other), 12);
      if (size > 1) expect(Math.abs(kl - naive(other, reference))).toBeGreaterThan(1e-6);
    }
  });

  it('is exactly zero for the same row, however large', () => {
    const normal = normals(5);
    const row = Float32Array.from({ length: 999 }, () => 50 * normal());
    expect(compareRows(row, row.slice(), 7)).toMatchObject({ kl: 0, sameTop: true });
  });

  it('takes tokens that are ruled out', () => {
    const reference = Float32Array.of(1, Number.NEGATIVE_INFINITY, 2);
    expect(compareRows(reference, reference.slice(), 0).kl).toBe(0);
    const possible = Float32Array.of(1, 0, 2);
    expect(compareRows(reference, possible, 0).kl).toBeCloseTo(naive(reference, possible), 12);
    expect(compareRows(possible, reference, 0).kl).toBe(Number.POSITIVE_INFINITY);
  });

  it('calls the lower id the best of equals', () => {
    expect(compareRows(Float32Array.of(1, 1, 0), Float32Array.of(2, 1, 1), 0).sameTop).toBe(true);
    expect(compareRows(Float32Array.of(1, 1, 0), Float32Array.of(1, 2, 1), 0).sameTop).toBe(false);
  });
});

describe('what many rows say', () => {
  const rows = (values: { kl: number; p: number; q: number; sameTop?: boolean }[]) => {
    const all = new QualityAccumulator();
    for (const { kl, p, q, sameTop = true } of values) {
      all.add({ kl, sameTop, referenceNll: -Math.log(p), otherNll: -Math.log(q) });
    }
    return all.statistics();
  };

  it('has means, percentiles and errors', () => {
    const values = Array.from({ length: 201 }, (_, i) => ({
      kl: i / 100,
      p: 0.5,
      q: 0.25,
      sameTop: i % 4 > 0,
    }));
    const result = rows(values.reverse());
    expect(result.rows).toBe(201);
    expect(result.meanKl).toBeCloseTo(1, 12);
    // Variance of 0..200 is (201^2 - 1) / 12.
    expect(result.meanKlError).toBeCloseTo(Math.sqrt((201 ** 2 - 1) / 12 / 200) / 100, 12);
    expect([result.medianKl, result.p95Kl, result.p99Kl, result.maxKl]).toEqual([1, 1.9, 1.98, 2]);
    expect(result.p999Kl).toBeCloseTo(1.998, 12);
    expect(result.sameTop1).toBe(150 / 201);
    expect(result.sameTop1Error).toBeCloseTo(Math.sqrt(((150 / 201) * (51 / 201)) / 200), 12);
    expect(result.klHistogram.reduce((sum, { count }) => sum + count, 0)).toBe(201);
    for (const { from, to, count } of result.klHistogram) {
      const last = to >= 2;
      expect(count).toBe(values.filter(({ kl }) => kl >= from && (kl < to || last)).length);
    }
  });

  it('has the change of the true token and the ratio of perplexities with a paired error', () => {
    const values = [
      { kl: 0, p: 0.5, q: 0.4 },
      { kl: 0, p: 0.1, q: 0.2 },
      { kl: 0, p: 0.3, q: 0.3 },
      { kl: 0, p: 0.9, q: 0.5 },
    ];
    const result = rows(values);
    expect(result.probabilityChange.rms).toBeCloseTo(Math.sqrt((0.01 + 0.01 + 0 + 0.16) / 4), 12);
    expect(result.probabilityChange.mean).toBeCloseTo(-0.1, 12);
    expect(result.probabilityChange.median).toBeCloseTo(-0.05, 12);
    expect(result.probabilityChange.min).toBeCloseTo(-0.4, 12);
    expect(result.perplexity[0]).toBeCloseTo((0.5 * 0.1 * 0.3 * 0.9) ** -0.25, 12);
    const logs = values.map(({ p, q }) => Math.log(p / q));
    expect(result.perplexityRatio).toBeCloseTo(Math.exp(logs.reduce((a, b) => a + b) / 4), 12);
    // The definition of llama.cpp: variances of both minus twice their covariance.
    const nll = values.map(({ p, q }) => [-Math.log(p), -Math.log(q)] as const);
    const mean = (f: (x: readonly [number, number]) => number) => nll.reduce((s, x) => s + f(x), 0) / 4;
    const [mp, mq] = [mean((x) => x[0]), mean((x) => x[1])];
    const variance =
      mean((x) => x[0] ** 2) -
      mp ** 2 +
      mean((x) => x[1] ** 2) -
      mq ** 2 -
      2 * (mean((x) => x[0] * x[1]) - mp * mq);
    expect(result.perplexityRatioError).toBeCloseTo(result.perplexityRatio * Math.sqrt(variance / 3), 10);
  });

  it('takes a single row, and rows that are all zero', () => {
    expect(rows([{ kl: 0.5, p: 0.5, q: 0.5 }])).toMatchObject({ meanKl: 0.5, meanKlError: 0, p99Kl: 0.5 });
    const { klHistogram } = rows(Array.from({ length: 3 }, () => ({ kl: 0, p: 1, q: 1 })));
    expect(klHistogram[0]).toMatchObject({ from: 0, count: 3 });
  });

  it('interpolates percentiles', () => {
    expect(percentile([1, 2, 4, 8], 0.5)).toBe(3);
    expect(percentile([1, 2, 4, 8], 0.9)).toBeCloseTo(6.8, 12);
    expect(percentile([5], 0.99)).toBe(5);
    expect(estimateMean([3])).toEqual({ value: 3, error: 0 });
    expect(median([5, 1, 3, 2])).toBe(2.5);
    expect(spread([1, 2, 3, 4, 5])).toBeCloseTo(2 / 3, 12);
  });
});

describe('the interval of a speedup', () => {
  /** Logarithms of a machine's speed, one sample after the other. */
  type Noise = (random: Random, normal: () => number) => () => number;
  const machines: Record<string, Noise> = {
    'white noise': (_, normal) => () => 0.05 * normal(),
    'rare long stumbles': (random, normal) => () =>
      0.03 * normal() + (random.uniform() < 0.1 ? 0.5 * Math.log(1 - random.uniform()) : 0),
    'a speed that wanders': (_, normal) => {
      let speed = 0;
      return () => {
        speed = 0.97 * speed + 0.06 * normal();
        return speed + 0.03 * normal();
      };
    },
    'neighbours that come and go': (random, normal) => {
      let busy = false;
      return () => {
        if (random.uniform() < 0.08) busy = !busy;
        return (busy ? -0.5 : 0) + 0.03 * normal();
      };
    },
    'disturbances of some samples': (random, normal) => {
      let [left, depth] = [0, 0];
      return () => {
        if (left > 0) left--;
        else if (random.uniform() < 0.05) {
          left = Math.floor(6 * random.uniform());
          depth = 0.4 * Math.log(1 - random.uniform());
        } else depth = 0;
        return depth + 0.03 * normal();
      };
    },
  };

  /** Endless quads of a machine, b being `factor` times as fast. */
  const quadsOf = (machine: Noise, seed: number, factor: number): (() => Quad) => {
    const random = new Random(seed);
    const noise = machine(random, normals(seed + 1_000_000));
    return () => {
      const quad: { a: number[]; b: number[] } = { a: [], b: [] };
      for (const side of turnOrder(random)) {
        quad[side].push(100 * Math.exp(noise()) * (side === 'b' ? factor : 1));
      }
      return quad;
    };
  };

  const taken = (machine: Noise, seed: number, count: number, factor: number): Quad[] => {
    const next = quadsOf(machine, seed, factor);
    return Array.from({ length: count }, next);
  };

  it('is the same for the same samples', () => {
    const quads = taken(machines['white noise']!, 1, 6, 1.3);
    expect(estimateSpeedup(quads)).toEqual(estimateSpeedup(quads));
    const { ratio, low, high } = estimateSpeedup(quads);
    expect(low).toBeLessThan(ratio);
    expect(high).toBeGreaterThan(ratio);
    expect(halfWidth({ ratio, low, high, significant: true })).toBeCloseTo(high / ratio - 1, 10);
  });

  // 95 of 100 are promised. Of 300 that do, fewer than 276 hold it once in 100 times; of 60, fewer than 53.
  const runs = amount(60, 300);
  const promised = amount(53, 276) / runs;

  it.each(Object.keys(machines).flatMap((name) => [3, 5, 10, 30].map((count) => [name, count] as const)))(
    'holds the truth as often as it says: %s, %i quads',
    (name, count) => {
      let held = 0;
      for (let seed = 0; seed < runs; seed++) {
        const { low, high } = estimateSpeedup(taken(machines[name]!, 1000 * count + seed, count, 1.5));
        if (low <= 1.5 && 1.5 <= high) held++;
      }
      expect(held / runs).toBeGreaterThanOrEqual(promised);
    },
    60_000,
  );

  it.each(Object.keys(machines))(
    'holds it too where the measurement ends as soon as the interval is narrow: %s',
    (name) => {
      let held = 0;
      for (let seed = 0; seed < runs; seed++) {
        const next = quadsOf(machines[name]!, 50_000 + seed, 1.5);
        const quads = Array.from({ length: 6 }, next);
        let interval = estimateSpeedup(quads);
        while (halfWidth(interval) > 0.05 && quads.length < 60) {
          quads.push(next(), next(), next());
          interval = estimateSpeedup(quads);
        }
        if (interval.low <= 1.5 && 1.5 <= interval.high) held++;
      }
      expect(held / runs).toBeGreaterThanOrEqual(promised);
    },
    60_000,
  );

  it('would be too narrow if it took samples for pairs that were not taken together', () => {
    // The speed wanders from quad to quad, so that all of a before all of b is another thing than turns.
    const machine = machines['a speed that wanders']!;
    let held = 0;
    for (let seed = 0; seed < 100; seed++) {
      const noise = machine(new Random(seed), normals(seed));
      const speeds = Array.from({ length: 40 }, () => Math.exp(noise()));
      const quads = Array.from({ length: 10 }, (_, i) => ({
        a: speeds.slice(2 * i, 2 * i + 2),
        b: speeds.slice(20 + 2 * i, 22 + 2 * i),
      }));
      const { significant } = estimateSpeedup(quads);
      if (!significant) held++;
    }
    expect(held).toBeLessThan(85);
  });

  it('is narrow where nothing differs, and sees a tenth, on a machine with 5 % of noise', () => {
    let [wide, missed] = [0, 0];
    for (let seed = 0; seed < 100; seed++) {
      const machine = machines['white noise']!;
      const same = estimateSpeedup(taken(machine, seed, 40, 1));
      if (same.low < 0.95 || same.high > 1.05) wide++;
      if (!estimateSpeedup(taken(machine, seed, 40, 1.1)).significant) missed++;
    }
    expect(wide).toBeLessThanOrEqual(5);
    expect(missed).toBe(0);
  });

  it('is hardly moved by a fifth of the quads', () => {
    const good = Array.from({ length: 8 }, (_, i) => ({ a: [10, 10], b: [20 + i / 100, 20 - i / 200] }));
    const broken = [{ a: [10, 10], b: [1, 1] }, ...good, { a: [10, 10], b: [400, 400] }];
    expect(estimateSpeedup(broken).ratio).toBeCloseTo(2, 2);
  });

  it('cancels a drift by the order of turns', () => {
    const random = new Random(1);
    const orders = Array.from({ length: 100 }, () => turnOrder(random));
    for (const order of orders) {
      const sum = (wanted: string) => order.reduce((s, side, i) => s + (side === wanted ? i : 0), 0);
      expect(sum('a')).toBe(sum('b'));
    }
    const first = orders.filter(([side]) => side === 'a').length;
    expect(first).toBeGreaterThan(30);
    expect(first).toBeLessThan(70);
  });

  it('is the ratio of geometric means, whatever the speed of a quad', () => {
    const quad = { a: [8, 2], b: [16, 4] };
    const slow = { a: [4, 1], b: [8, 2] };
    expect(estimateSpeedup([quad, slow, quad])).toMatchObject({ significant: true });
    expect(estimateSpeedup([quad, slow, quad]).ratio).toBeCloseTo(2, 12);
  });

  it('tells little from one quad, and takes its two pairs for it', () => {
    const { ratio, low, high } = estimateSpeedup([{ a: [10, 10], b: [20, 22] }]);
    expect(ratio).toBeCloseTo(Math.sqrt(4.4), 12);
    expect(high / low).toBeGreaterThan(3);
    expect(estimateSpeedup([{ a: [10, 10], b: [20, 20] }]).ratio).toBeCloseTo(2, 12);
  });
});
