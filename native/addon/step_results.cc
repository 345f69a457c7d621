#include "addon/step_results.h"

#include <algorithm>

namespace kvasir::addon {

namespace {

template <typename Array>
auto* AddArray(const Napi::Object& object, const char* name, size_t length) {
  Array array = Array::New(object.Env(), length);
  object.Set(name, array);
  return array.Data();
}

Napi::Array FullRows(Napi::Env env, const StepResult& result) {
  const Napi::Array rows = Napi::Array::New(env, result.full.size());
  for (uint32_t i = 0; i < result.full.size(); ++i) {
    const std::vector<float>& row = result.full[i];
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

}  // namespace

void StepResults::Create(Napi::Env env, size_t rows, size_t candidates) {
  const Napi::Object object = Napi::Object::New(env);
  object.Set("cancelled", false);
  object.Set("candidates", 0);
  candidate_ids_ = AddArray<Napi::Int32Array>(object, "candidateIds", candidates);
  candidate_logits_ = AddArray<Napi::Float32Array>(object, "candidateLogits", candidates);
  log_sum_exp_ = AddArray<Napi::Float64Array>(object, "logSumExp", rows);
  log_sum_exp_1_ = AddArray<Napi::Float64Array>(object, "logSumExp1", rows);
  target_logits_ = AddArray<Napi::Float32Array>(object, "targetLogits", rows);
  object_ = Napi::Persistent(object);
  rows_ = rows;
  candidates_ = candidates;
  cancelled_ = false;
  has_full_ = true;  // its list of full rows is missing
}

Napi::Object StepResults::ToJs(Napi::Env env, const StepResult& result) {
  const size_t rows = result.log_sum_exp.size(), candidates = result.candidate_ids.size();
  const bool anew = object_.IsEmpty() || rows != rows_ || candidates != candidates_;
  if (anew) Create(env, rows, candidates);
  const Napi::Object object = object_.Value();
  if (anew) object.Set("candidates", static_cast<double>(result.candidates));
  if (result.cancelled != cancelled_) object.Set("cancelled", cancelled_ = result.cancelled);
  std::copy(result.candidate_ids.begin(), result.candidate_ids.end(), candidate_ids_);
  std::copy(result.candidate_logits.begin(), result.candidate_logits.end(), candidate_logits_);
  std::copy(result.log_sum_exp.begin(), result.log_sum_exp.end(), log_sum_exp_);
  std::copy(result.log_sum_exp_1.begin(), result.log_sum_exp_1.end(), log_sum_exp_1_);
  std::copy(result.target_logits.begin(), result.target_logits.end(), target_logits_);
  const bool has_full = std::any_of(result.full.begin(), result.full.end(),
                                    [](const std::vector<float>& row) { return !row.empty(); });
  if (has_full || has_full_) object.Set("fullLogits", FullRows(env, result));
  has_full_ = has_full;
  return object;
}

}  // namespace kvasir::addon
