// What adapters add to the linears of a stage: which rows of a step go through which, and the two products of each.
#include <algorithm>

#include "core/aligned_buffer.h"
#include "core/error.h"
#include "model/stage.h"

namespace kvasir {

namespace {

// Per lane what x A^T needs, and the output of gate and up: without adapters they are activated where they are computed.
void TakeAdaptedRows(Arena& arena, const ModelSpec& spec, const Traits& traits, int64_t rank,
                     std::vector<RowScratch>* lanes, float** head) {
  const auto take = [&](int64_t values) { return arena.TakeArray<float>(static_cast<size_t>(values)); };
  for (size_t i = 0; i < lanes->size(); ++i) {
    const int64_t rows = i == 0 ? traits.block_rows : traits.lane_rows;
    (*lanes)[i].adapted.low = take(rows * rank);
    (*lanes)[i].gate_up = take(rows * spec.gate_up_size());
  }
  *head = take(Stage::kLogitRows * rank);
}

}  // namespace

int64_t Stage::AdaptedRowBytes(const ModelSpec& spec, const Traits& traits, int64_t rank) {
  if (rank == 0) return 0;
  std::vector<RowScratch> lanes(static_cast<size_t>(traits.threads));
  float* head = nullptr;
  Arena counting;
  TakeAdaptedRows(counting, spec, traits, rank, &lanes, &head);
  return static_cast<int64_t>(counting.used());
}

int64_t Stage::adapter_bytes() const {
  int64_t bytes = adapter_memory_ == nullptr ? 0 : static_cast<int64_t>(adapter_memory_->size());
  for (const auto& [id, adapter] : adapters_) bytes += adapter->bytes();
  return bytes;
}

void Stage::LoadAdapter(int32_t id, const std::vector<AdapterPlace>& places, PackPanelFn pack_panel_s8) {
  std::vector<AdapterPlace> own;
  for (const AdapterPlace& place : places) {
    if (place.layer >= first_ && (place.layer < end_ || end_ == spec_.n_layers())) own.push_back(place);
  }
  if (own.empty()) return;
  auto adapter = std::make_unique<Adapter>(own, pack_panel_s8, backend_.get());
  if (adapter->most_rank() > adapter_rank_) TakeAdapterMemory(adapter->most_rank());
  adapters_.emplace(id, std::move(adapter));
}

void Stage::FreeAdapter(int32_t id) {
  adapters_.erase(id);
  if (adapters_.empty()) TakeAdapterMemory(0);
}

void Stage::TakeAdapterMemory(int64_t rank) {
  adapter_memory_.reset();
  adapter_rank_ = 0;
  for (RowScratch& lane : scratch_.lanes) lane.adapted.low = lane.gate_up = nullptr;
  adapted_head_ = nullptr;
  if (rank == 0) return;
  const Traits& traits = backend_->traits();
  adapter_memory_ = backend_->Allocate(AdaptedRowBytes(spec_, traits, rank), "rows of adapters", false);
  Arena arena(adapter_memory_->data(), adapter_memory_->size());
  TakeAdaptedRows(arena, spec_, traits, rank, &scratch_.lanes, &adapted_head_);
  adapter_rank_ = rank;
}

void Stage::ResolveAdapters(const Step& step) {
  step_adapters_.clear();
  adapted_rows_.clear();
  adapted_wanted_.clear();
  if (step.adapters == nullptr) return;
  int64_t wanted = 0;
  for (int64_t i = 0; i < step.n_sequences; ++i) {
    const SequenceSpan& s = step.sequences[i];
    const int64_t first = wanted, end = s.row + s.n_tokens;
    while (wanted < step.n_rows && step.rows[wanted] < end) ++wanted;
    const auto found = adapters_.find(step.adapters[i]);
    if (found == adapters_.end()) continue;
    const Adapter* adapter = found->second.get();
    adapted_rows_.push_back({adapter, s.row, end});
    adapted_wanted_.push_back({adapter, first, wanted});
    if (std::find(step_adapters_.begin(), step_adapters_.end(), adapter) == step_adapters_.end()) {
      step_adapters_.push_back(adapter);
    }
  }
}

bool Stage::IsAdapted(const LinearWeight& linear) const {
  return std::any_of(step_adapters_.begin(), step_adapters_.end(),
                     [&](const Adapter* adapter) { return adapter->Of(linear) != nullptr; });
}

// Onto out [rows.count, ld], which `linear` has made of `input`. Where a row of `input` lies is the backend's secret, so
// that x A^T is of all rows up to the adapter's last one: rank is small beside the linear's columns.
void Stage::Adapt(const LinearWeight& linear, const LinearInput& input, const AdaptedRows& rows, float* out,
                  int64_t ld) {
  for (const Adapter* adapter : step_adapters_) {
    const std::vector<LowRank>* parts = adapter->Of(linear);
    if (parts == nullptr) continue;
    const auto first_of = [&](const AdapterSpan& s) { return std::max(s.first - rows.first, int64_t{0}); };
    const auto end_of = [&](const AdapterSpan& s) { return std::min(s.end - rows.first, rows.count); };
    int64_t end = 0;
    for (const AdapterSpan& span : *rows.spans) {
      if (span.adapter == adapter && first_of(span) < end_of(span)) end = end_of(span);
    }
    if (end == 0) continue;
    for (const LowRank& part : *parts) {
      const int64_t rank = part.a.n;
      backend_->Linear(part.a, input, end, rows.low, rank, false);
      for (const AdapterSpan& span : *rows.spans) {
        const int64_t first = first_of(span), count = end_of(span) - first;
        if (span.adapter != adapter || count <= 0) continue;
        const LinearInput low = {
            .dtype = Dtype::kF32, .width = rank, .rows = count, .f32 = rows.low + first * rank};
        backend_->Linear(part.b, low, count, out + first * ld + part.first_column, ld, true);
      }
    }
  }
}

}  // namespace kvasir
