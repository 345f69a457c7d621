// Whole attention steps as tests run them on a backend: a history that an earlier step stored, new tokens of several
// sequences, pages in no order in a pool that is dirty everywhere else. It refuses to judge results.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "backend/cpu.h"
#include "testing/kernel_inputs.h"

namespace kvasir::testing {

struct StepSequence {
  int64_t start;  // positions that are in the cache already
  int64_t n_tokens;
};

struct AttentionStep {
  Dtype dtype = Dtype::kInt8;  // of the cache
  int64_t n_heads = 1;
  int64_t n_kv_heads = 1;
  int64_t head_dim = 64;
  RopeKind rope = RopeKind::kHalf;
  int64_t rope_dim = 64;
  int rotation = 1;
  float scale = 0.125f;
  float soft_cap = 0;
  int64_t before = kUnbounded;
  int64_t after = 0;
  std::vector<float> slopes, distance_bias,
      sinks;  // [n_heads], [n_heads, 2 * reach + 1], [n_heads]; empty: none
  int64_t reach = 0;
  std::vector<StepSequence> sequences;
  bool split = false;  // on the device
  bool trace = true;
  int64_t spare_chunks = 0;         // by which the table's max_chunks exceeds the longest sequence
  int64_t store_rows = 0;           // rows of a StoreKv; 0: all at once
  std::vector<float> history, qkv;  // [positions or rows, n_heads + 2 n_kv_heads, head_dim]
  std::vector<float> cos, sin;      // [positions, rope_dim / 2]
  HeadNorm norm;                    // its weights are these:
  std::vector<float> q_weight, k_weight;
  std::vector<float> q_scales;  // [positions] or empty

  bool int8() const { return dtype == Dtype::kInt8; }
  int64_t group() const { return n_heads / n_kv_heads; }
  int64_t padded_head_dim() const { return (head_dim + 15) / 16 * 16; }
  int64_t width() const { return (n_heads + 2 * n_kv_heads) * head_dim; }
  int64_t rows() const;
  int64_t longest() const;
  int64_t history_rows() const;
  // Its backend structs, without the tables' addresses.
  AttentionShape Shape() const;
};

// Both sides' memory but for the kernels: tables of a step, and the pool.
struct StepPool {
  static constexpr uint8_t kDirt = 0xff;  // as floats NaN
  static constexpr int64_t kLayers = 2, kLayer = 1;

  KvLayout layout;
  int64_t ld_pages;
  std::vector<int32_t> pages;  // [sequences, ld_pages]

  explicit StepPool(const AttentionStep& step);
  // Pages that lie before all that the step's rows attend to, when the history is stored: they are made dirty, and have no
  // index from then on.
  void Release(const AttentionStep& step, std::vector<uint8_t>* pool);
};

// Random inputs for the step's shapes; of the biases, those that are not empty.
void FillInputs(Random& random, AttentionStep* step);

struct StepResult {
  static constexpr float kUntouched = -54321.0f;
  std::vector<float> out;           // [rows, n_heads, head_dim]
  std::vector<float> scores;        // [rows, n_heads, longest], untouched where a row does not look
  std::vector<float> queries;       // [n_kv_heads, rows, group, padded_head_dim], f32 or quantized values
  std::vector<float> query_scales;  // INT8
  std::vector<float> keys,
      values;  // [sequences, positions, n_kv_heads, padded_head_dim], as stored; NaN where
               // pages were given back
  std::vector<float> k_scales, v_scales;  // INT8: [sequences, positions, n_kv_heads]
};

// On a kernel table. Attention is split by chunks where there are threads for it.
StepResult RunOnCpu(const AttentionStep& step, const std::string& isa = "scalar", int threads = 1);
std::string Difference(const StepResult& a, const StepResult& b);

// Reads what a pool stores. `at(is_v, dimension, slot)` is the element's place within a head's part, `offset` what is
// added to stored K of INT8.
void ReadPool(const AttentionStep& step, const StepPool& p, const std::vector<uint8_t>& pool, int offset,
              const std::function<int64_t(bool, int64_t, int64_t)>& at, StepResult* result);

}  // namespace kvasir::testing
