#include "runtime/engine.h"

#include <algorithm>
#include <cmath>
#include <new>

#include "backend/cpu.h"
#include "core/start_thread.h"

namespace kvasir {

Engine::Engine(std::unique_ptr<Transformer> transformer)
    : transformer_(std::move(transformer)), cancellation_(std::make_unique<CancellationToken>()) {
  thread_ = StartThread([this] { Loop(); });
}

Engine::~Engine() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Engine::Submit(StepRequest request, std::function<void(StepResult)> done) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (busy_) throw Error(ErrorCode::kInternal, "A step is running already");
    busy_ = true;
    cancellation_ = std::make_unique<CancellationToken>();
    request_ = std::move(request);
    done_ = std::move(done);
    CancelIfAllAre();
  }
  wake_.notify_one();
}

void Engine::Cancel(int32_t sequence) {
  std::lock_guard<std::mutex> lock(mutex_);
  cancelled_.insert(sequence);
  CancelIfAllAre();
}

void Engine::CancelIfAllAre() {
  if (!request_) return;
  for (const BatchSequence& s : request_->batch.sequences) {
    if (cancelled_.count(s.id) == 0) return;
  }
  cancellation_->Cancel();
}

void Engine::Inspect(const std::function<void(Transformer&)>& fn) {
  const auto set_busy = [&](bool busy) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (busy && busy_) throw Error(ErrorCode::kInternal, "A step is running already");
    busy_ = busy;
  };
  set_busy(true);
  try {
    fn(*transformer_);
  } catch (...) {
    set_busy(false);
    throw;
  }
  set_busy(false);
}

int32_t Engine::LoadAdapter(const std::vector<AdapterTensor>& tensors) {
  int32_t id = -1;
  Inspect([&](Transformer& transformer) {
    id = transformer.LoadAdapter(tensors, PredictCpuTraits(1, "").pack_panel_s8);
  });
  return id;
}

void Engine::FreeAdapter(int32_t id) {
  Inspect([&](Transformer& transformer) { transformer.FreeAdapter(id); });
}

KvCache& Engine::cache() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (busy_) throw Error(ErrorCode::kInternal, "Sequences cannot change while a step runs");
  return transformer_->cache();
}

void Engine::FreeSequence(int32_t sequence) {
  cache().Free(sequence);
  std::lock_guard<std::mutex> lock(mutex_);
  cancelled_.erase(sequence);
}

void Engine::Loop() {
  for (;;) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || request_; });
      if (!request_) return;
    }
    StepResult result = Run(*request_);
    std::function<void(StepResult)> done;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      request_.reset();
      done = std::move(done_);
      busy_ = false;
    }
    done(std::move(result));
  }
}

StepResult Engine::Run(const StepRequest& request) {
  StepResult result;
  try {
    const std::vector<WantedRow>& wanted = request.batch.wanted;
    const size_t rows = wanted.size();
    const bool logits =
        std::any_of(wanted.begin(), wanted.end(), [](const WantedRow& one) { return one.logits; });
    const int64_t vocab = transformer_->spec().vocab_size;
    result.candidates = logits ? std::min(kCandidates, vocab) : 0;
    result.candidate_ids.resize(rows * static_cast<size_t>(result.candidates));
    result.candidate_logits.resize(result.candidate_ids.size());
    result.log_sum_exp.resize(rows);
    result.log_sum_exp_1.resize(rows);
    result.target_logits.assign(rows, std::nanf(""));
    result.full.resize(rows);
    result.hidden.resize(rows);
    if (request.temperatures.size() != rows || request.full_logits.size() != rows ||
        request.targets.size() != rows) {
      throw Error(ErrorCode::kInternal, "A step's row options disagree with its rows");
    }
    transformer_->Forward(request.batch, cancellation_.get(), nullptr, [&](const StepRows& step) {
      if (step.hidden != nullptr) TakeHidden(request, step, &result);
      if (step.logits != nullptr) Summarize(request, step, &result);
    });
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      result.cancelled = true;
    } else {
      result.error = error;
    }
  } catch (const std::bad_alloc&) {
    result.error = Error(ErrorCode::kInsufficientMemory, "The system refused memory for a step");
  } catch (const std::exception& error) {
    result.error = Error(ErrorCode::kInternal, error.what());
  }
  return result;
}

void Engine::TakeHidden(const StepRequest& request, const StepRows& rows, StepResult* result) {
  const int64_t hidden = transformer_->spec().hidden_size;
  const float* view = transformer_->backend().HostView(rows.hidden, rows.count * hidden, &row_copy_);
  for (int64_t i = 0; i < rows.count; ++i) {
    const size_t row = static_cast<size_t>(rows.first + i);
    if (!request.batch.wanted[row].hidden) continue;
    result->hidden[row].assign(view + i * hidden, view + (i + 1) * hidden);
  }
}

void Engine::Summarize(const StepRequest& request, const StepRows& rows, StepResult* result) {
  const int64_t first = rows.first, n_rows = rows.count;
  const float* logits = rows.logits;
  const int64_t vocab = transformer_->spec().vocab_size;
  Backend& backend = transformer_->backend();
  summaries_.resize(static_cast<size_t>(n_rows));
  for (int64_t i = 0; i < n_rows; ++i) {
    const size_t row = static_cast<size_t>(first + i);
    const float temperature = request.temperatures[row];
    const size_t offset = row * static_cast<size_t>(result->candidates);
    summaries_[static_cast<size_t>(i)] = {
        .temperature = temperature > 0 ? temperature : 1.0f,
        .ids = result->candidate_ids.data() + offset,
        .logits = result->candidate_logits.data() + offset,
    };
    const float* values = logits + i * vocab;
    if (request.full_logits[row] != 0) {
      const float* view = backend.HostView(values, vocab, &row_copy_);
      result->full[row].assign(view, view + vocab);
    }
    const int32_t target = request.targets[row];
    if (target >= 0 && target < vocab) {
      result->target_logits[row] = *backend.HostView(values + target, 1, &row_copy_);
    }
  }
  backend.Summarize(logits, n_rows, vocab, result->candidates, summaries_.data());
  for (int64_t i = 0; i < n_rows; ++i) {
    result->log_sum_exp[static_cast<size_t>(first + i)] = summaries_[static_cast<size_t>(i)].log_sum_exp;
    result->log_sum_exp_1[static_cast<size_t>(first + i)] = summaries_[static_cast<size_t>(i)].log_sum_exp_1;
  }
}

}  // namespace kvasir
