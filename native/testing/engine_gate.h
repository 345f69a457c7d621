// A gate that a step must pass: a backend that waits before it embeds tokens, and is the CPU backend otherwise.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>

#include "testing/transformer_models.h"

namespace kvasir::testing {

class Gate {
 public:
  void Close();
  void Open();
  // Returns when a step waits at the closed gate.
  void AwaitArrival();
  // The step's side.
  void Pass();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  bool waiting_ = false;
};

// The gate must outlive the model.
std::unique_ptr<Transformer> LoadGated(const ModelKind& kind, const RandomContainer& container,
                                       const Setup& setup, Gate* gate);

}  // namespace kvasir::testing
