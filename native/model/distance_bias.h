// The bias of attention scores by buckets of distances (T5, arXiv:1910.10683), as attention reads it: a layer's table
// [buckets, n_heads] becomes a value for each head and distance, once, when a stage is made. It computes no attention.
#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "model/model_spec.h"
#include "model/weights.h"

namespace kvasir {

// The row of the table for a key `distance` positions after its query; before it, if negative.
int64_t BucketOf(const ScoreBiasSpec& bias, int64_t distance);

class DistanceBiases {
 public:
  // Of layers [first, end), whose tables are in the device's memory, for sequences of up to `positions` tokens.
  DistanceBiases(const ModelSpec& spec, const Weights& weights, int64_t first, int64_t end, int64_t positions,
                 Device* device);

  // What those of all layers take, of a spec alone.
  static int64_t Bytes(const ModelSpec& spec, int64_t positions);
  int64_t bytes() const;
  // What an attention of this layer adds to its scores.
  void Point(int64_t layer, AttentionBias* bias) const;

 private:
  struct Layer {
    std::unique_ptr<BackendMemory> values;  // f32 [n_heads, 2 * reach + 1], or nullptr
    int64_t reach = 0;
  };

  int64_t first_;
  std::vector<Layer> layers_;  // [end - first]
};

}  // namespace kvasir
