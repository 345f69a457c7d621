// Whole attention steps as tests of the CUDA kernels run them on both sides: a history that an earlier step stored, new
// tokens of several sequences, pages in no order in a pool that is dirty everywhere else. It refuses to judge results.
#pragma once

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
};

// Random inputs for the step's shapes.
void FillInputs(Random& random, AttentionStep* step);

struct StepResult {
  std::vector<float> out;           // [rows, n_heads, head_dim]
  std::vector<float> scores;        // [rows, n_heads, longest], untouched where a row does not look
  std::vector<float> queries;       // [n_kv_heads, rows, group, padded_head_dim], f32 or quantized values
  std::vector<float> query_scales;  // INT8
  std::vector<float> keys, values;  // [sequences, positions, n_kv_heads, padded_head_dim], as stored
  std::vector<float> k_scales, v_scales;  // INT8: [sequences, positions, n_kv_heads]
};

StepResult RunOnCpu(const AttentionStep& step);  // the scalar table
StepResult RunOnCuda(const AttentionStep& step);
std::string Difference(const StepResult& a, const StepResult& b);

}  // namespace kvasir::testing
