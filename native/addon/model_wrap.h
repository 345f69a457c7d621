// The JS object of a loaded model; see NativeModel in lib/native.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/async.h"
#include "addon/step_results.h"
#include "runtime/engine.h"

namespace kvasir::addon {

class ModelWrap : public Napi::ObjectWrap<ModelWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Value Wrap(Napi::Env env, std::unique_ptr<Engine> engine);

  explicit ModelWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ModelWrap>(info) {}
  ~ModelWrap() override;

 private:
  Napi::Value CreateSequence(const Napi::CallbackInfo& info);
  Napi::Value ForkSequence(const Napi::CallbackInfo& info);
  void TruncateSequence(const Napi::CallbackInfo& info);
  void FreeSequence(const Napi::CallbackInfo& info);
  Napi::Value SequenceLength(const Napi::CallbackInfo& info);
  Napi::Value ShortestPrefix(const Napi::CallbackInfo& info);
  Napi::Value FreePages(const Napi::CallbackInfo& info);
  Napi::Value OwnPages(const Napi::CallbackInfo& info);
  Napi::Value Step(const Napi::CallbackInfo& info);
  Napi::Value RunLayers(const Napi::CallbackInfo& info);
  Napi::Value ApplyLinear(const Napi::CallbackInfo& info);
  Napi::Value ApplyGateUp(const Napi::CallbackInfo& info);
  Napi::Value WeightRows(const Napi::CallbackInfo& info);
  void Borrow(const Napi::CallbackInfo& info);
  Napi::Value LoadAdapter(const Napi::CallbackInfo& info);
  void FreeAdapter(const Napi::CallbackInfo& info);
  Napi::Value AdapterBytes(const Napi::CallbackInfo& info);
  Napi::Value SaveSequence(const Napi::CallbackInfo& info);
  Napi::Value RestoreSequence(const Napi::CallbackInfo& info);
  void CancelSequence(const Napi::CallbackInfo& info);
  Napi::Value Dispose(const Napi::CallbackInfo& info);

  // Throws Error(kDisposed).
  Engine& Live();

  std::shared_ptr<Engine> engine_;
  std::shared_ptr<Engine> lender_;  // whose linears the engine has borrowed
  JsQueue queue_;                   // brings step results to the JS thread; unref'ed while no step runs
  std::unique_ptr<Napi::Promise::Deferred> pending_;
  StepResults results_;
  Napi::Reference<Napi::Promise> disposed_;
};

}  // namespace kvasir::addon
