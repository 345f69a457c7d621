#include "model/weights.h"

#include <algorithm>

#include "core/error.h"
#include "model/linears.h"
#include "model/source_weights.h"
#include "model/stored_weights.h"
#include "model/weight_plan.h"

namespace kvasir {

namespace {

size_t BiasBytes(const LinearPlan& plan) {
  return plan.biased ? static_cast<size_t>(plan.padded_n()) * sizeof(float) : 0;
}

size_t BlockBytes(const LinearPlan& plan, Dtype dtype) {
  return static_cast<size_t>(PackedBytes(dtype, plan.n(), plan.k));
}

size_t VectorBytes(const VectorPlan& plan) {
  return static_cast<size_t>(plan.rows * plan.columns) * sizeof(float);
}

WeightBytes BytesOf(const std::vector<TensorPlan>& plans, const LoadOptions& options) {
  WeightBytes bytes;
  const auto add = [&](size_t n) { bytes.total += static_cast<int64_t>(Arena::Padded(n)); };
  VisitPlans(
      plans,
      [&](const LinearPlan& plan) {
        const Dtype dtype = plan.DtypeIn(options);
        add(BlockBytes(plan, dtype));
        add(BiasBytes(plan));
        bytes.scales += PackedScaleBytes(dtype, plan.n(), plan.k);
      },
      [&](const VectorPlan& plan) { add(VectorBytes(plan)); });
  return bytes;
}

// Gives every target its part of the arena, whose pages nothing has touched yet.
void Place(const LoadOptions& options, Arena* arena, std::vector<TensorPlan>* plans) {
  VisitPlans(
      *plans,
      [&](LinearPlan& plan) {
        const Dtype dtype = plan.DtypeIn(options);
        plan.target->dtype = dtype;
        plan.target->n = plan.n();
        plan.target->k = plan.k;
        plan.target->panels = arena->Take(BlockBytes(plan, dtype));
        if (plan.biased) plan.target->bias = static_cast<float*>(arena->Take(BiasBytes(plan)));
      },
      [&](VectorPlan& plan) {
        plan.values = static_cast<float*>(arena->Take(VectorBytes(plan)));
        *plan.target = plan.values;
      });
}

int64_t CountParameters(const std::vector<TensorPlan>& plans) {
  int64_t count = 0;
  VisitPlans(
      plans, [&](const LinearPlan& plan) { count += plan.n() * plan.k; },
      [&](const VectorPlan& plan) { count += plan.rows * plan.columns; });
  return count;
}

void CheckDtype(const TensorMap& tensors, const LoadOptions& options) {
  if (!IsQuantized(tensors)) return;
  if (options.dtype == Dtype::kInt8 && options.keep_fp32.empty()) return;
  const std::string asked = options.dtype == Dtype::kInt8 ? "keepFp32 is given" : "dtype is 'fp32'";
  throw Error(ErrorCode::kInvalidOption,
              asked +
                  ", but this is the INT8 form of a model, which has no other weights; load it with "
                  "dtype 'int8', or load the model that it was made from");
}

}  // namespace

void CheckTensors(const ModelSpec& spec, const TensorMap& tensors, const Container& checkpoint) {
  Weights places;
  CheckSource(PlanTensors(spec, tensors, &places), tensors, TensorReader(checkpoint, tensors));
}

WeightBytes PredictWeightBytes(const ModelSpec& spec, const TensorMap& tensors, const LoadOptions& options) {
  CheckDtype(tensors, options);
  Weights places;
  return BytesOf(PlanTensors(spec, tensors, &places), options);
}

std::unique_ptr<Weights> LoadWeights(const ModelSpec& spec, const TensorMap& tensors,
                                     const LoadOptions& options, const Container& container,
                                     const Traits& traits, const CancellationToken& cancellation,
                                     const std::function<void(int64_t, int64_t)>& progress) {
  CheckDtype(tensors, options);
  auto weights = std::make_unique<Weights>();
  std::vector<TensorPlan> plans = PlanTensors(spec, tensors, weights.get());
  const WeightBytes bytes = BytesOf(plans, options);
  const bool quantized = IsQuantized(tensors);
  TensorReader reader(container, tensors);
  // Before the memory is taken: what a wrong configuration asks for has no bounds.
  if (quantized) {
    CheckStored(plans, container);
  } else {
    CheckSource(plans, tensors, reader);
  }
  weights->bytes = bytes.total;
  weights->scale_bytes = bytes.scales;
  weights->parameters = CountParameters(plans);
  weights->memory = AlignedBuffer(static_cast<size_t>(bytes.total), "the weights");
  Arena arena(weights->memory.data(), weights->memory.size());
  Place(options, &arena, &plans);

  const int64_t total = quantized ? bytes.total : weights->parameters;
  // What has to be converted takes one thread less than computing will: meanwhile the tokenizer is built, which a first token
  // waits for longer, and the program around this one goes on. SmolLM2 from GGUF, two cores of Emerald Rapids: first token
  // 236 and 286 ms after the call, with all threads 314 and 328.
  const int threads = quantized ? traits.threads : std::max(1, traits.threads - 1);
  LoadTasks tasks(threads, cancellation, total, progress);
  if (quantized) {
    LoadStored(plans, container, &tasks);
  } else {
    LoadSource(plans, tensors, &reader, traits.pack_panel_s8, &tasks);
  }
  if (progress) progress(total, total);
  if (spec.head == HeadKind::kLogits && weights->lm_head.panels == nullptr) {
    weights->lm_head = weights->embed_tokens;
  }
  LinkLinears(spec, weights.get());
  return weights;
}

}  // namespace kvasir
