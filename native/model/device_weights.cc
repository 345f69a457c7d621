#include "model/device_weights.h"

#include <algorithm>

#include "model/weight_plan.h"
#include "quant/pack.h"

namespace kvasir {

namespace {

// Takes memory for what is moved, in the order of the plans; with `device` it moves, else it counts.
class Mover {
 public:
  Mover(int64_t first, Arena* arena, Device* device) : first_(first), arena_(*arena), device_(device) {}

  void Move(const std::vector<TensorPlan>& plans, Weights* weights) {
    const bool tied = weights->is_tied();
    VisitPlans(
        plans,
        [&](const LinearPlan& plan) {
          if (IsMoved(plan.layer)) MoveLinear(plan.padded_n(), plan.target);
        },
        [&](const VectorPlan& plan) {
          if (IsMoved(plan.layer)) MoveVector(plan.rows * plan.columns, plan.target);
        });
    if (!tied) return;
    if (first_ == 0) {
      if (device_ != nullptr) weights->lm_head = weights->embed_tokens;
    } else {
      const uint8_t* lowest = lowest_moved_;
      MoveLinear((weights->lm_head.n + kPanelColumns - 1) / kPanelColumns * kPanelColumns, &weights->lm_head);
      lowest_moved_ = lowest;  // the embedding's own memory stays
    }
  }

  const uint8_t* lowest_moved() const { return lowest_moved_; }

 private:
  bool IsMoved(int64_t layer) const { return first_ == 0 || layer >= first_; }

  void Note(const void* host) {
    const auto* at = static_cast<const uint8_t*>(host);
    if (lowest_moved_ == nullptr || at < lowest_moved_) lowest_moved_ = at;
  }

  void MoveLinear(int64_t padded_n, LinearWeight* linear) {
    LinearWeight own = *linear;
    own.panels = arena_.Take(static_cast<size_t>(PackedBytes(own.dtype, own.n, own.k)));
    if (own.bias != nullptr) own.bias = arena_.TakeArray<float>(static_cast<size_t>(padded_n));
    if (device_ == nullptr) return;
    Note(linear->panels);
    device_->UploadLinear(*linear, own);
    *linear = own;
  }

  void MoveVector(int64_t n, const float** values) {
    float* own = arena_.TakeArray<float>(static_cast<size_t>(n));
    if (device_ == nullptr) return;
    Note(*values);
    device_->Upload(own, *values, n * static_cast<int64_t>(sizeof(float)));
    *values = own;
  }

  const int64_t first_;
  Arena& arena_;
  Device* device_;
  const uint8_t* lowest_moved_ = nullptr;
};

}  // namespace

int64_t DeviceWeightBytes(const ModelSpec& spec, const TensorMap& tensors, int64_t first, Weights* weights) {
  Arena counting;
  Mover(first, &counting, nullptr).Move(PlanTensors(spec, tensors, weights), weights);
  return static_cast<int64_t>(counting.used());
}

void MoveToDevice(const ModelSpec& spec, const TensorMap& tensors, int64_t first, Device* device,
                  Weights* weights) {
  weights->device_memory =
      device->Allocate(DeviceWeightBytes(spec, tensors, first, weights), "the weights", false);
  Arena arena(weights->device_memory->data(), weights->device_memory->size());
  Mover mover(first, &arena, device);
  mover.Move(PlanTensors(spec, tensors, weights), weights);
  device->FinishUploads();  // the copies have read the host's memory
  // What comes after the host's last layer is not the host's to fetch.
  if (first > 0) {
    LayerWeights& last = weights->layers[static_cast<size_t>(first - 1)];
    const LinearWeight* moved = &weights->layers[static_cast<size_t>(first)].qkv;
    for (LinearWeight* linear : {&last.router, &last.down, &last.shared_down}) {
      if (linear->next == moved) linear->next = nullptr;
    }
  }
  if (first == 0) {
    weights->memory = AlignedBuffer();
  } else if (mover.lowest_moved() != nullptr) {
    weights->memory.ReleaseFrom(static_cast<size_t>(mover.lowest_moved() - weights->memory.data()));
  }
}

}  // namespace kvasir
