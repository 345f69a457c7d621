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
  // An array of the object. JavaScript may transfer its memory to another thread, or put another array into the object:
  // it is kept by a reference, and its memory is asked for anew at every step.
  template <typename T>
  using Held = Napi::Reference<Napi::TypedArrayOf<T>>;

  void Create(Napi::Env env, size_t rows, size_t candidates);
  bool IsWhole(size_t rows, size_t candidates) const;

  Napi::ObjectReference object_;
  bool cancelled_ = false, has_full_ = false, has_hidden_ = false;
  Held<int32_t> candidate_ids_;   // [rows * candidates]
  Held<float> candidate_logits_;  // the same
  Held<double> log_sum_exp_;      // [rows]
  Held<double> log_sum_exp_1_;    // [rows]
  Held<float> target_logits_;     // [rows]
};

}  // namespace kvasir::addon
