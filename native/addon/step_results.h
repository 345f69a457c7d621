// What the promise of a step resolves to; see StepResult in lib/native.ts. Making its arrays anew for every token takes
// longer than choosing the token, so steps with as many rows share them: a result holds until its model's next step.
#pragma once

#include <napi.h>

#include "runtime/engine.h"

namespace kvasir::addon {

class StepResults {
 public:
  Napi::Object ToJs(Napi::Env env, const StepResult& result);

 private:
  void Create(Napi::Env env, size_t rows, size_t candidates);

  Napi::ObjectReference object_;
  size_t rows_ = 0, candidates_ = 0;  // of all rows
  bool cancelled_ = false, has_full_ = false;
  // The memory of the object's arrays, which it keeps alive.
  int32_t* candidate_ids_ = nullptr;
  float* candidate_logits_ = nullptr;
  double* log_sum_exp_ = nullptr;
  double* log_sum_exp_1_ = nullptr;
  float* target_logits_ = nullptr;
};

}  // namespace kvasir::addon
