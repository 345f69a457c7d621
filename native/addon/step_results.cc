#include "addon/step_results.h"

#include <algorithm>

namespace kvasir::addon {

namespace {

template <typename T>
Napi::Reference<Napi::TypedArrayOf<T>> AddArray(const Napi::Object& object, const char* name, size_t length) {
  const auto array = Napi::TypedArrayOf<T>::New(object.Env(), length);
  object.Set(name, array);
  return Napi::Persistent(array);
}

// One whose memory was transferred has no elements.
template <typename T>
bool HasLength(const Napi::Reference<Napi::TypedArrayOf<T>>& array, size_t length) {
  return !array.IsEmpty() && array.Value().ElementLength() == length;
}

template <typename T>
void Fill(const Napi::Reference<Napi::TypedArrayOf<T>>& array, const std::vector<T>& values) {
  std::copy(values.begin(), values.end(), array.Value().Data());
}

// null where there is none.
Napi::Array RowsToJs(Napi::Env env, const std::vector<std::vector<float>>& values) {
  const Napi::Array rows = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); ++i) {
    const std::vector<float>& row = values[i];
    if (row.empty()) {
      rows.Set(i, env.Null());
      continue;
    }
    Napi::Float32Array copy = Napi::Float32Array::New(env, row.size());
    std::copy(row.begin(), row.end(), copy.Data());
    rows.Set(i, copy);
  }
  return rows;
}

bool HasAny(const std::vector<std::vector<float>>& rows) {
  return std::any_of(rows.begin(), rows.end(), [](const std::vector<float>& row) { return !row.empty(); });
}

}  // namespace

void StepResults::Create(Napi::Env env, size_t rows, size_t candidates) {
  const Napi::Object object = Napi::Object::New(env);
  object.Set("cancelled", false);
  object.Set("candidates", 0);
  candidate_ids_ = AddArray<int32_t>(object, "candidateIds", candidates);
  candidate_logits_ = AddArray<float>(object, "candidateLogits", candidates);
  log_sum_exp_ = AddArray<double>(object, "logSumExp", rows);
  log_sum_exp_1_ = AddArray<double>(object, "logSumExp1", rows);
  target_logits_ = AddArray<float>(object, "targetLogits", rows);
  object_ = Napi::Persistent(object);
  cancelled_ = false;
  has_full_ = has_hidden_ = true;  // its lists of whole rows are missing
}

bool StepResults::IsWhole(size_t rows, size_t candidates) const {
  return HasLength(candidate_ids_, candidates) && HasLength(candidate_logits_, candidates) &&
         HasLength(log_sum_exp_, rows) && HasLength(log_sum_exp_1_, rows) && HasLength(target_logits_, rows);
}

Napi::Object StepResults::ToJs(Napi::Env env, const StepResult& result) {
  const size_t rows = result.log_sum_exp.size(), candidates = result.candidate_ids.size();
  const bool anew = !IsWhole(rows, candidates);
  if (anew) Create(env, rows, candidates);
  const Napi::Object object = object_.Value();
  if (anew) object.Set("candidates", static_cast<double>(result.candidates));
  if (result.cancelled != cancelled_) object.Set("cancelled", cancelled_ = result.cancelled);
  Fill(candidate_ids_, result.candidate_ids);
  Fill(candidate_logits_, result.candidate_logits);
  Fill(log_sum_exp_, result.log_sum_exp);
  Fill(log_sum_exp_1_, result.log_sum_exp_1);
  Fill(target_logits_, result.target_logits);
  const bool has_full = HasAny(result.full), has_hidden = HasAny(result.hidden);
  if (has_full || has_full_) object.Set("fullLogits", RowsToJs(env, result.full));
  if (has_hidden || has_hidden_) object.Set("hidden", RowsToJs(env, result.hidden));
  has_full_ = has_full;
  has_hidden_ = has_hidden;
  return object;
}

}  // namespace kvasir::addon
