// Looking into a model: single layers and linears, and linears of another model in place of its own. Not for serving.
#include <algorithm>

#include "core/error.h"
#include "model/linears.h"
#include "model/transformer.h"

namespace kvasir {

void Transformer::RunLayers(const std::vector<int32_t>& tokens, const LayerRange& range,
                            const std::vector<int32_t>& rows, TapSink* taps, float* hidden,
                            const LogitsFn& on_logits) {
  const int64_t n = static_cast<int64_t>(tokens.size());
  if (n > static_cast<int64_t>(positions_.size()) || range.first < 0 || range.end > spec_.n_layers ||
      range.first > range.end) {
    throw Error(ErrorCode::kInternal, "These layers or so many tokens cannot be inspected at once");
  }
  const int32_t sequence = cache_.Create();
  try {
    Check({.sequences = {{sequence, n}}, .tokens = tokens, .rows = rows});
    cache_.Reserve(sequence, n);
    const SequenceSpan span = {.pages = cache_.Pages(sequence), .start = 0, .n_tokens = n, .row = 0};
    const Step step = {tokens.data(), n, &span, 1, rows.data(), static_cast<int64_t>(rows.size()), 0};
    RunStep(step, range, nullptr, taps, on_logits);
    std::copy_n(scratch_.x, n * spec_.hidden_size, hidden);
  } catch (...) {
    cache_.Free(sequence);
    throw;
  }
  cache_.Free(sequence);
}

void Transformer::ApplyLinear(const LinearWeight& weight, float* x, int64_t rows, float* out) {
  TakeTraceMemory(rows);
  Activations* inputs[] = {&traced_.normed, &traced_.o_input, &traced_.down_input};
  const auto fitting = std::find_if(std::begin(inputs), std::end(inputs),
                                    [&](const Activations* one) { return one->width == weight.k; });
  if (fitting == std::end(inputs)) throw Error(ErrorCode::kInternal, "No input is as wide as this linear");
  Activations input = **fitting;
  input.dtype = weight.dtype;
  backend_->Prepare(x, rows, false, &input);
  backend_->Linear(weight, input, rows, out, weight.n, false);
}

void Transformer::Borrow(const Weights& lender, const std::vector<std::string>& names) {
  const bool tied = weights_->lm_head.panels == weights_->embed_tokens.panels;
  const auto put = [&](const std::string& name, const LinearWeight& weight) {
    *FindLinear(weights_.get(), name) = weight;
    if (tied && name == "embed.tokens") weights_->lm_head = weight;
  };
  for (const auto& [name, own] : replaced_) put(name, own);
  replaced_.clear();
  for (const std::string& name : names) {
    const LinearWeight* own = FindLinear(*weights_, name);
    const LinearWeight* other = FindLinear(lender, name);
    if (own == nullptr || other == nullptr || own->n != other->n || own->k != other->k ||
        (other->dtype == Dtype::kInt8 && dtype_ != Dtype::kInt8)) {
      throw Error(ErrorCode::kInvalidOption, "The linear '" + name + "' cannot be borrowed");
    }
    replaced_.emplace(name, *own);
    put(name, *other);
  }
}

}  // namespace kvasir
