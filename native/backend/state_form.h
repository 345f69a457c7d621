// What the ops of layers with a state are told: of each sequence a little memory of its rows so far instead of keys and
// values of all of them. Plain structs; they know no graph.
#pragma once

#include <cstdint>

#include "backend/step.h"

namespace kvasir {

constexpr int64_t kMostTaps = 8;         // rows that a convolution reads, its own included
constexpr int64_t kMostStateHead = 256;  // dimensions of a head

// The states of one layer: slot s begins at base + s * stride floats.
struct StateMemory {
  float* base = nullptr;
  int64_t stride = 0;

  // nullptr of a sequence that has none yet: all zeros.
  float* At(int32_t slot) const { return slot < 0 ? nullptr : base + slot * stride; }
};

// A depthwise convolution over a row and those before it: out[t][c] = bias[c] + sum of weight[j][c] in[t - taps + 1 + j][c].
struct ConvForm {
  int64_t taps = 0;
  const float* weight = nullptr;  // [taps, channels], the oldest row's first
  const float* bias = nullptr;    // [channels] or nullptr
};

// The state of a convolution is its last taps - 1 input rows, the oldest first.
struct ShortConvArgs {
  StateMemory states;  // [taps - 1, channels]
  const SequenceSpan* sequences = nullptr;
  int64_t n_sequences = 0;
  ConvForm conv;
  int64_t channels = 0;
  const float* in = nullptr;  // [rows, 3 * channels]: b, c, x
  float* out = nullptr;       // [rows, channels] = c * conv(b * x)
};

// Heads of the gated delta rule (Yang, Kautz and Hatamizadeh, arXiv:2412.06464).
struct DeltaHeads {
  int64_t key_heads = 0;
  int64_t value_heads = 0;  // a multiple
  int64_t key_dim = 0;
  int64_t value_dim = 0;
  bool tiled = false;  // value head h reads key head h % key_heads, else h / (value_heads / key_heads)

  int64_t key_size() const { return key_heads * key_dim; }
  int64_t value_size() const { return value_heads * value_dim; }
  int64_t conv_channels() const { return 2 * key_size() + value_size(); }
  int64_t in_size() const { return conv_channels() + value_size(); }
  int64_t padded_value_dim() const { return (value_dim + 15) / 16 * 16; }
  int64_t KeyHeadOf(int64_t value_head) const {
    return tiled ? value_head % key_heads : value_head / (value_heads / key_heads);
  }
};

// The state: the convolution's, then S [value_heads, key_dim, padded_value_dim].
struct DeltaNetArgs {
  StateMemory states;
  const SequenceSpan* sequences = nullptr;
  int64_t n_sequences = 0;
  ConvForm conv;  // of q, k and v
  DeltaHeads heads;
  const float* rate = nullptr;     // [value_heads], negative: decay = exp(rate * softplus(a + dt_bias))
  const float* dt_bias = nullptr;  // [value_heads]
  const float* norm = nullptr;     // [value_dim], of the norm behind the rule
  float norm_eps = 0;
  float* in = nullptr;     // [rows, in_size]: q, k, v, z; the first three are overwritten
  float* gates = nullptr;  // [rows, 2 * value_heads]: b, a; overwritten
  float* out = nullptr;    // [rows, value_size]
};

}  // namespace kvasir
