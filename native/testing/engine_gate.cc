#include "testing/engine_gate.h"

#include "backend/cpu.h"

namespace kvasir::testing {

void Gate::Close() {
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
}

void Gate::Open() {
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = false;
  changed_.notify_all();
}

void Gate::AwaitArrival() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return waiting_; });
}

void Gate::Pass() {
  std::unique_lock<std::mutex> lock(mutex_);
  waiting_ = true;
  changed_.notify_all();
  changed_.wait(lock, [&] { return !closed_; });
  waiting_ = false;
}

namespace {

class GatedBackend final : public Backend {
 public:
  GatedBackend(std::unique_ptr<Backend> backend, Gate* gate) : backend_(std::move(backend)), gate_(gate) {
    traits_ = backend_->traits();
  }

  void Embed(const LinearWeight& table, const StepIndices& ids, float* x) override {
    gate_->Pass();
    backend_->Embed(table, ids, x);
  }

  std::string name() const override { return backend_->name(); }
  std::unique_ptr<BackendMemory> Allocate(int64_t bytes, const std::string& purpose, bool lazy) override {
    return backend_->Allocate(bytes, purpose, lazy);
  }
  int64_t FreeBytes() override { return backend_->FreeBytes(); }
  int64_t WorkBytes() const override { return backend_->WorkBytes(); }
  void Upload(void* to, const void* from, int64_t bytes) override { backend_->Upload(to, from, bytes); }
  void Copy(void* to, const void* from, int64_t bytes) override { backend_->Copy(to, from, bytes); }
  void UploadLinear(const LinearWeight& packed, const LinearWeight& own) override {
    backend_->UploadLinear(packed, own);
  }
  void FinishUploads() override { backend_->FinishUploads(); }
  const float* HostView(const float* values, int64_t n, std::vector<float>* buffer) override {
    return backend_->HostView(values, n, buffer);
  }
  void BeginStep(const StepInput& step) override { backend_->BeginStep(step); }
  void EndStep() override { backend_->EndStep(); }
  void AbandonStep() noexcept override { backend_->AbandonStep(); }
  void ForRowBlocks(int64_t rows, const std::function<void(const RowBlock&)>& fn) override {
    backend_->ForRowBlocks(rows, fn);
  }
  int64_t LinearInputBytes(Dtype dtype, int64_t rows, int64_t width) const override {
    return backend_->LinearInputBytes(dtype, rows, width);
  }
  void UnpackRows(const LinearWeight& table, const int32_t* ids, int64_t n, float* x) override {
    backend_->UnpackRows(table, ids, n, x);
  }
  void AddRows(const float* table, const StepIndices& indices, int64_t width, float* x) override {
    backend_->AddRows(table, indices, width, x);
  }
  void GatherRows(const float* x, const StepIndices& indices, int64_t width, float* out) override {
    backend_->GatherRows(x, indices, width, out);
  }
  void Norm(const NormWeight& weight, const float* x, int64_t rows, LinearInput* out) override {
    backend_->Norm(weight, x, rows, out);
  }
  void Prepare(float* x, int64_t rows, int rotation, LinearInput* out) override {
    backend_->Prepare(x, rows, rotation, out);
  }
  void Linear(const LinearWeight& weight, const LinearInput& x, int64_t rows, float* out, int64_t ld_out,
              bool accumulate) override {
    backend_->Linear(weight, x, rows, out, ld_out, accumulate);
  }
  void Activation(const ActivationForm& form, bool gated, const float* x, int64_t rows, float* scratch,
                  LinearInput* out) override {
    backend_->Activation(form, gated, x, rows, scratch, out);
  }
  void LinearActivation(const LinearWeight& weight, const ActivationForm& form, const LinearInput& x,
                        int64_t rows, float* wide, float* scratch, LinearInput* out) override {
    backend_->LinearActivation(weight, form, x, rows, wide, scratch, out);
  }
  void AddNorm(const AddNormForm& form, const float* y, int64_t rows, int64_t width, float* x) override {
    backend_->AddNorm(form, y, rows, width, x);
  }
  void AddScaledRows(const RowFactors& factors, const float* y, int64_t rows, int64_t width,
                     float* x) override {
    backend_->AddScaledRows(factors, y, rows, width, x);
  }
  void Scale(const Scaling& scaling, int64_t rows, int64_t width, float* x) override {
    backend_->Scale(scaling, rows, width, x);
  }
  void ApplyGate(const OutputGate& gate, int64_t rows, int64_t width, float* x) override {
    backend_->ApplyGate(gate, rows, width, x);
  }
  void Route(const RouterForm& router, const float* logits, int64_t rows, int32_t* ids,
             float* weights) override {
    backend_->Route(router, logits, rows, ids, weights);
  }
  int64_t ExpertsScratchBytes(const ExpertsForm& form, int64_t rows) const override {
    return backend_->ExpertsScratchBytes(form, rows);
  }
  void Experts(const ExpertsForm& form, const LinearInput& x, const RoutedRows& routed, int64_t rows,
               void* scratch, float* out) override {
    backend_->Experts(form, x, routed, rows, scratch, out);
  }
  void StoreKv(const AttentionArgs& args, const RowBlock& block, const float* qkv,
               Queries* queries) override {
    backend_->StoreKv(args, block, qkv, queries);
  }
  void Attention(const AttentionArgs& args, const Queries& queries, float* out) override {
    backend_->Attention(args, queries, out);
  }
  void ShortConv(const ShortConvArgs& args) override { backend_->ShortConv(args); }
  void DeltaNet(const DeltaNetArgs& args) override { backend_->DeltaNet(args); }
  void ReserveSummary(int64_t rows, int64_t vocab, int64_t n_candidates) override {
    backend_->ReserveSummary(rows, vocab, n_candidates);
  }
  void Summarize(const float* logits, int64_t rows, int64_t vocab, int64_t n_candidates,
                 LogitsSummary* summaries) override {
    backend_->Summarize(logits, rows, vocab, n_candidates, summaries);
  }

 private:
  std::unique_ptr<Backend> backend_;
  Gate* gate_;
};

}  // namespace

std::unique_ptr<Transformer> LoadGated(const ModelKind& kind, const RandomContainer& container,
                                       const Setup& setup, Gate* gate) {
  const LoadOptions options = OptionsOf(setup);
  auto backend = std::make_unique<GatedBackend>(
      MakeCpuBackend(options.threads, options.isa, options.context_length, kind.spec.padded_head_dim()),
      gate);
  std::unique_ptr<Weights> weights = LoadWeights(kind.spec, container.canonical(), options, container,
                                                 backend->traits(), CancellationToken(), nullptr);
  return std::make_unique<Transformer>(kind.spec, std::move(weights), std::move(backend), options);
}

}  // namespace kvasir::testing
