// LoRA adapters of a stage's linears: what an adapter adds to what a linear makes of x, y += (x A^T) B^T. A [rank, k] is
// packed as the linear is and reads the same input; B [columns, rank], which has the adapter's scale in it, stays float32
// and is added to some columns of y. Nothing is merged, so that rows of one batch go through different adapters. It knows
// canonical names and shapes, and no file format.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/backend.h"
#include "model/model_spec.h"
#include "model/tensors.h"
#include "model/weights.h"

namespace kvasir {

// Of one linear ("layers.3.qkv", "lm_head"), or of one of those that it stacks ("layers.3.q").
struct AdapterTensor {
  std::string name;
  int64_t rank = 0;
  std::vector<float> a;  // [rank, inputs]
  std::vector<float> b;  // [outputs, rank]
  float scale = 1;
};

// A tensor of an adapter and where in the model it belongs.
struct AdapterPlace {
  const AdapterTensor* tensor = nullptr;
  const LinearWeight* linear = nullptr;
  int64_t layer = 0;  // the number of layers: the output layer
  int64_t first_column = 0;
  int64_t columns = 0;
};

// What of a tensor its memory depends on.
struct AdapterShape {
  std::string name;
  int64_t rank = 0;
};

constexpr int64_t kMostAdapterRank = 512;

// Embeddings, routers and experts are not adapted.
bool CanAdapt(TensorPlace place);

// Throws Error(kInvalidOption) naming a tensor whose linear is not there or cannot be adapted, whose shape is another one, that comes
// twice or holds a value that is infinite or not a number.
std::vector<AdapterPlace> PlaceAdapter(const ModelSpec& spec, const Weights& weights,
                                       const std::vector<AdapterTensor>& tensors);

// Bytes that an adapter of such tensors takes on one device, of a model that is loaded with these tensors and options.
// Throws Error(kInvalidOption) naming one that cannot be.
int64_t PredictAdapterBytes(const ModelSpec& spec, const TensorMap& tensors, const LoadOptions& options,
                            const std::vector<AdapterShape>& adapter);

// One adapter's change to some columns of a linear's output.
struct LowRank {
  LinearWeight a;  // [rank, k]
  LinearWeight b;  // [columns, rank]
  int64_t first_column = 0;
};

// The part of an adapter that is one backend's, in its memory.
class Adapter {
 public:
  // `pack_panel_s8` is a CPU's: packing is the host's. Throws Error(kInsufficientMemory | kDeviceUnavailable).
  Adapter(const std::vector<AdapterPlace>& places, PackPanelFn pack_panel_s8, Device* device);

  // In the order of columns; nullptr for a linear that stays as it is.
  const std::vector<LowRank>* Of(const LinearWeight& linear) const;
  int64_t most_rank() const { return most_rank_; }
  int64_t bytes() const { return static_cast<int64_t>(memory_->size()); }

 private:
  std::unordered_map<const LinearWeight*, std::vector<LowRank>> linears_;
  std::unique_ptr<BackendMemory> memory_;
  int64_t most_rank_ = 0;
};

// Rows of a step, or of those that are wanted of it, that go through one adapter.
struct AdapterSpan {
  const Adapter* adapter = nullptr;
  int64_t first = 0;
  int64_t end = 0;
};

// Rows [first, first + count) of those that `spans` are of.
struct AdaptedRows {
  const std::vector<AdapterSpan>* spans = nullptr;
  int64_t first = 0;
  int64_t count = 0;
  float* low = nullptr;  // scratch [count, rank]
};

}  // namespace kvasir
