// Looking into a model: single layers and linears, and linears of another model in place of its own. Not for serving.
#include <algorithm>

#include "core/error.h"
#include "model/linears.h"
#include "model/tensors.h"
#include "model/transformer.h"
#include "model/weight_plan.h"

namespace kvasir {

void Transformer::CheckPatch(const LayerRange& range) const {
  if (range.patch == nullptr) return;
  for (int64_t layer = range.first; layer < range.end; ++layer) {
    const int64_t heads = spec_.has_state(layer) ? 0 : spec_.attention_of(layer).n_heads;
    for (const int32_t head : range.patch->heads) {
      if (head >= 0 && head < heads) continue;
      throw Error(ErrorCode::kInvalidOption,
                  "Layer " + std::to_string(layer) + " has no head " + std::to_string(head));
    }
  }
}

void Transformer::RunLayers(const std::vector<int32_t>& tokens, const LayerRange& range,
                            const LayerRunPlace& place, const std::vector<int32_t>& rows, TapSink* taps,
                            float* hidden, const RowsFn& on_rows) {
  Stage& stage = OnlyStage();
  const int64_t n = static_cast<int64_t>(tokens.size());
  if (n > static_cast<int64_t>(positions_.size()) || range.first < 0 || range.end > spec_.n_layers() ||
      range.first > range.end) {
    throw Error(ErrorCode::kInternal, "These layers or so many tokens cannot be inspected at once");
  }
  CheckPatch(range);
  const bool fresh = place.sequence < 0;
  const int32_t sequence = fresh ? cache_.Create() : place.sequence;
  try {
    const bool logits = spec_.head == HeadKind::kLogits;
    std::vector<WantedRow> wanted;
    for (const int32_t row : rows) wanted.emplace_back(row, logits, !logits);
    Check({.sequences = {{sequence, n}}, .tokens = tokens, .wanted = wanted});
    cache_.GiveBack(sequence);
    cache_.Reserve(sequence, n);
    const int64_t n_sequences = AddSpans({{sequence, n}});
    RunStep({.tokens = tokens.data(),
             .positions = nullptr,
             .types = nullptr,
             .n_tokens = n,
             .sequences = spans_.data(),
             .n_tables = cache_.n_tables(),
             .adapters = nullptr,
             .n_sequences = n_sequences,
             .rows = rows.data(),
             .wanted = wanted.data(),
             .n_rows = static_cast<int64_t>(rows.size()),
             .first_row = 0,
             .wanted_only = false,
             .taps = taps,
             .patch = range.patch,
             .cancellation = nullptr},
            range, on_rows);
    std::copy_n(stage.Output(n), n * spec_.hidden_size, hidden);
    if (place.commit) {
      cache_.Commit(sequence, n);
      cache_.KeepState(sequence);
    }
  } catch (...) {
    if (fresh) cache_.Free(sequence);
    throw;
  }
  if (fresh) cache_.Free(sequence);
}

Stage& Transformer::OnlyStage() {
  if (stages_.size() == 1) return *stages_.front();
  throw Error(ErrorCode::kInvalidOption,
              "Looking into a model needs all of its layers on one device; load it with gpuLayers 'auto' "
              "where they fit, "
              "or with device 'cpu'");
}

void Transformer::ApplyLinear(const LinearWeight& weight, const float* x, int64_t rows, float* out) {
  OnlyStage().ApplyLinear(weight, x, rows, out);
}

void Transformer::ApplyGateUp(int64_t layer, const LinearWeight& gate_up, const float* x, int64_t rows,
                              float* out) {
  OnlyStage().ApplyGateUp(spec_.feed_forward_of(layer), gate_up, x, rows, out);
}

std::vector<float> Transformer::WeightRows(const LinearWeight& weight, const std::vector<int32_t>& ids) {
  return OnlyStage().WeightRows(weight, ids);
}

std::vector<float> Transformer::VectorRows(const std::string& name, int64_t first, int64_t count) {
  for (const ModelTensor& tensor : TensorsOf(spec_)) {
    if (tensor.name != name) continue;
    const float** values = VectorAt(tensor, weights_.get());
    if (values == nullptr || *values == nullptr) break;
    if (first < 0 || count < 1 || count > tensor.rows || first > tensor.rows - count) break;
    return OnlyStage().Values(*values + first * tensor.columns, count * tensor.columns);
  }
  throw Error(ErrorCode::kInvalidOption, "There is no tensor '" + name + "', or it has no such rows");
}

void Transformer::Borrow(const Transformer& lender, const std::vector<std::string>& names) {
  if (lender.stages_.size() != 1 ||
      lender.stages_.front()->backend().name() != OnlyStage().backend().name()) {
    throw Error(ErrorCode::kInvalidOption, "A model borrows linears only from one on the same device");
  }
  if (!adapters_.empty()) {
    throw Error(ErrorCode::kInvalidOption, "A model borrows no linears while it has adapters");
  }
  const bool tied = weights_->is_tied();
  const std::map<std::string, LinearWeight*> own_linears = LinearsByName(spec_, weights_.get());
  const auto put = [&](const std::string& name, const LinearWeight& weight) {
    LinearWeight& place = *own_linears.at(name);
    const LinearWeight* next = place.next;  // of this model's
    place = weight;
    place.next = next;
    if (tied && name == "embed.tokens") weights_->lm_head = place;
  };
  for (const auto& [name, own] : replaced_) put(name, own);
  replaced_.clear();
  const std::map<std::string, LinearWeight*> others = LinearsByName(lender.spec(), lender.weights_.get());
  for (const std::string& name : names) {
    const auto own = own_linears.find(name), other = others.find(name);
    if (own == own_linears.end() || other == others.end() || own->second->n != other->second->n ||
        own->second->k != other->second->k ||
        (other->second->dtype == Dtype::kInt8 && dtype_ != Dtype::kInt8)) {
      throw Error(ErrorCode::kInvalidOption, "The linear '" + name + "' cannot be borrowed");
    }
    replaced_.emplace(name, *own->second);
    put(name, *other->second);
  }
}

}  // namespace kvasir
