// Runs one batch step at a time on a thread of its own, so that neither the caller nor its event loop ever computes.
// It reduces each wanted row of logits to what sampling needs. What to run next is its caller's decision.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "core/cancellation.h"
#include "model/transformer.h"

namespace kvasir {

struct StepRequest {
  Batch batch;
  // One entry per row of batch.wanted; of those whose logits are not wanted, none is read:
  std::vector<float> temperatures;   // of log_sum_exp; 0 counts as 1
  std::vector<uint8_t> full_logits;  // 1: return the whole row
  std::vector<int32_t> targets;      // token whose logit is returned, or -1
};

struct StepResult {
  bool cancelled = false;
  std::optional<Error> error;              // nothing was appended
  int64_t candidates = 0;                  // 0: of no row are logits wanted
  std::vector<int32_t> candidate_ids;      // [rows * candidates]
  std::vector<float> candidate_logits;     // the same
  std::vector<double> log_sum_exp;         // [rows] at the row's temperature
  std::vector<double> log_sum_exp_1;       // [rows] at temperature 1
  std::vector<float> target_logits;        // [rows] or NaN
  std::vector<std::vector<float>> full;    // [rows] empty or [vocab]
  std::vector<std::vector<float>> hidden;  // [rows] empty or [hidden]
};

class Engine {
 public:
  static constexpr int64_t kCandidates = Stage::kCandidates;

  explicit Engine(std::unique_ptr<Transformer> transformer);
  // Waits for the running step.
  ~Engine();

  const Transformer& transformer() const { return *transformer_; }
  // `done` runs on the engine's thread. Throws Error(kInternal) while a step runs.
  void Submit(StepRequest request, std::function<void(StepResult)> done);
  // A step stops between layers once all its sequences are cancelled, before or during it. Thread-safe.
  void Cancel(int32_t sequence);

  // Between steps, on the calling thread: fn may look into the model. Throws Error(kInternal) while a step runs, and what
  // fn throws.
  void Inspect(const std::function<void(Transformer&)>& fn);

  // As Transformer's; between steps, on the calling thread.
  int32_t LoadAdapter(const std::vector<AdapterTensor>& tensors);
  void FreeAdapter(int32_t id);

  // Between steps only: during one they throw Error(kInternal).
  KvCache& cache();
  void FreeSequence(int32_t sequence);

 private:
  void Loop();
  void CancelIfAllAre();  // holding the mutex
  StepResult Run(const StepRequest& request);
  void Summarize(const StepRequest& request, const StepRows& rows, StepResult* result);
  void TakeHidden(const StepRequest& request, const StepRows& rows, StepResult* result);

  std::unique_ptr<Transformer> transformer_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool busy_ = false;
  bool stopping_ = false;
  std::optional<StepRequest> request_;
  std::function<void(StepResult)> done_;
  std::set<int32_t> cancelled_;  // sequences
  std::unique_ptr<CancellationToken> cancellation_;
  std::vector<LogitsSummary> summaries_;
  std::vector<float> row_copy_;
  std::thread thread_;
};

}  // namespace kvasir
