#include "testing/cuda_attention_case.h"

#include <algorithm>
#include <cmath>

#include "backend/cuda/kernels.h"
#include "testing/cuda_device_array.h"

namespace kvasir::testing {

namespace {

constexpr float kUntouched = StepResult::kUntouched;

std::vector<float> FromBytes(const std::vector<int8_t>& values) { return {values.begin(), values.end()}; }

// The step's rows as device tables. Tiles as StepTable wants them.
struct DeviceTables {
  std::vector<int32_t> positions, sequences;
  std::vector<cuda::AttentionTile> tiles;

  std::vector<int32_t> lengths;

  DeviceTables(const AttentionStep& step, bool history) {
    for (size_t i = 0; i < step.sequences.size(); ++i) {
      const StepSequence& s = step.sequences[i];
      lengths.push_back(static_cast<int32_t>(s.start + s.n_tokens));
      const int64_t first = history ? 0 : s.start, count = history ? s.start : s.n_tokens;
      const int64_t rows = count * step.group(), step_row = static_cast<int64_t>(positions.size());
      for (int64_t token = 0; token < count; ++token) {
        positions.push_back(static_cast<int32_t>(first + token));
        sequences.push_back(static_cast<int32_t>(i));
      }
      for (int64_t row = 0; row < rows; row += cuda::kTileRows) {
        tiles.push_back({static_cast<int32_t>(i), static_cast<int32_t>(row),
                         static_cast<int32_t>(std::min<int64_t>(cuda::kTileRows, rows - row)),
                         static_cast<int32_t>(step_row), static_cast<int32_t>(first)});
      }
    }
  }
};

// What a step adds to scores, on the device.
struct DeviceBias {
  DeviceArray<float> slopes, distance_bias, sinks;

  explicit DeviceBias(const AttentionStep& step)
      : slopes(step.slopes), distance_bias(step.distance_bias), sinks(step.sinks) {}
  AttentionBias Of(const AttentionStep& step) {
    return {.slopes = step.slopes.empty() ? nullptr : slopes.data(),
            .distance_bias = step.distance_bias.empty() ? nullptr : distance_bias.data(),
            .reach = step.reach,
            .sinks = step.sinks.empty() ? nullptr : sinks.data()};
  }
};

// Pages that the step does not see: dirty on the device, and without an index there from now on.
void ReleasePages(const AttentionStep& step, StepPool* p, DeviceArray<uint8_t>* pool,
                  DeviceArray<int32_t>* pages) {
  std::vector<uint8_t> bytes = pool->Read();
  p->Release(step, &bytes);
  pool->Write(bytes);
  pages->Write(p->pages);
}

// A step's memory on the device, as the kernels take it.
class CudaStep {
 public:
  explicit CudaStep(const AttentionStep& step);
  void Store();  // the history, then the step's tokens
  void Attend();
  StepResult Read() const;

 private:
  size_t QueryHeads() const {
    return static_cast<size_t>(step_.n_heads * std::max(step_.rows(), step_.history_rows()));
  }
  size_t Width() const { return static_cast<size_t>(step_.padded_head_dim()); }
  size_t ScoresSize() const {
    return step_.trace ? static_cast<size_t>(step_.rows() * step_.n_heads * step_.longest()) : 0;
  }
  cuda::StepTable Table(int32_t* positions, int32_t* sequences, int64_t rows) {
    cuda::StepTable t;
    t.positions = positions;
    t.sequences = sequences;
    t.pages = pages_.data();
    t.ld_pages = p_.ld_pages;
    t.rows = rows;
    return t;
  }

  const AttentionStep& step_;
  StepPool p_;
  AttentionShape shape_;
  DeviceArray<float> cos_, sin_, history_, qkv_, q_weight_, k_weight_, q_scales_;
  HeadNorm norm_;
  DeviceArray<uint8_t> pool_;
  DeviceArray<int32_t> pages_;
  DeviceArray<float> f32_, scales_;
  DeviceArray<int8_t> values_;
  Queries queries_;
  const DeviceTables old_, now_;
  DeviceArray<int32_t> old_positions_, old_sequences_, positions_, sequences_, lengths_;
  DeviceArray<cuda::AttentionTile> tiles_;
  DeviceBias bias_;
  cuda::StepTable table_;
  DeviceArray<float> out_, scores_;
};

CudaStep::CudaStep(const AttentionStep& step)
    : step_(step),
      p_(step),
      shape_(step.Shape()),
      cos_(step.cos),
      sin_(step.sin),
      history_(step.history),
      qkv_(step.qkv),
      q_weight_(step.q_weight),
      k_weight_(step.k_weight),
      q_scales_(step.q_scales),
      norm_(step.norm),
      pool_(std::vector<uint8_t>(static_cast<size_t>(p_.layout.PoolBytes()), StepPool::kDirt)),
      pages_(p_.pages),
      f32_(std::vector<float>(QueryHeads() * Width(), kUntouched)),
      scales_(std::vector<float>(QueryHeads(), kUntouched)),
      values_(std::vector<int8_t>(QueryHeads() * Width())),
      queries_{.dtype = step.int8() ? Dtype::kInt8 : Dtype::kF32,
               .f32 = f32_.data(),
               .values = values_.data(),
               .scales = scales_.data()},
      old_(step, true),
      now_(step, false),
      old_positions_(old_.positions),
      old_sequences_(old_.sequences),
      positions_(now_.positions),
      sequences_(now_.sequences),
      lengths_(now_.lengths),
      tiles_(now_.tiles),
      bias_(step),
      out_(std::vector<float>(static_cast<size_t>(step.rows() * step.n_heads * step.head_dim), kUntouched)),
      scores_(std::vector<float>(ScoresSize(), kUntouched)) {
  shape_.rope_cos = cos_.data();
  shape_.rope_sin = sin_.data();
  if (!step.q_scales.empty()) shape_.q_scales = q_scales_.data();
  norm_.q_weight = q_weight_.data();
  norm_.k_weight = k_weight_.data();
  table_ = Table(positions_.data(), sequences_.data(), step.rows());
  table_.tiles = tiles_.data();
  table_.lengths = lengths_.data();
  table_.n_tiles = static_cast<int64_t>(now_.tiles.size());
  table_.max_chunks = (step.longest() + cuda::kChunk - 1) / cuda::kChunk + step.spare_chunks;
  table_.split = step.split;
}

void CudaStep::Store() {
  const cuda::KvPages kv = {pool_.data(), p_.layout, StepPool::kLayer};
  const int64_t old_rows = step_.history_rows();
  if (old_rows > 0) {
    cuda::StoreKv(shape_, norm_, kv, Table(old_positions_.data(), old_sequences_.data(), old_rows),
                  {.first = 0, .count = old_rows}, history_.data(), queries_, nullptr);
    ReleasePages(step_, &p_, &pool_, &pages_);
  }
  const int64_t rows_at_once = step_.store_rows > 0 ? step_.store_rows : step_.rows();
  for (int64_t first = 0; first < step_.rows(); first += rows_at_once) {
    cuda::StoreKv(shape_, norm_, kv, table_,
                  {.first = first, .count = std::min(rows_at_once, step_.rows() - first)},
                  qkv_.data() + first * step_.width(), queries_, nullptr);
  }
}

void CudaStep::Attend() {
  const int64_t partial_bytes =
      step_.split ? cuda::AttentionPartialBytes(shape_, table_.n_tiles, table_.max_chunks) : 0;
  DeviceArray<float> partials(std::vector<float>(static_cast<size_t>(partial_bytes / 4), NAN));
  cuda::Attention({.shape = &shape_,
                   .layout = &p_.layout,
                   .pages = pool_.data(),
                   .layer = StepPool::kLayer,
                   .rows = step_.rows(),
                   .trace = {step_.trace ? scores_.data() : nullptr, step_.longest()},
                   .bias = bias_.Of(step_)},
                  table_, queries_, partials.data(), out_.data(), nullptr);
  cuda::Check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
}

StepResult CudaStep::Read() const {
  StepResult result;
  result.out = out_.Read();
  result.scores = scores_.Read();
  const size_t n_queries = static_cast<size_t>(step_.n_heads * step_.rows());
  result.queries = step_.int8() ? FromBytes(values_.Read()) : f32_.Read();
  result.queries.resize(n_queries * Width());
  if (step_.int8()) {
    result.query_scales = scales_.Read();
    result.query_scales.resize(n_queries);
  }
  ReadPool(
      step_, p_, pool_.Read(), 0,
      [&](bool is_v, int64_t d, int64_t slot) {
        const int64_t by_position = slot * static_cast<int64_t>(Width()) + d;
        return is_v && step_.int8() ? d * kKvPagePositions + slot % 16 * 4 + slot / 16 : by_position;
      },
      &result);
  return result;
}

}  // namespace

StepResult RunOnCuda(const AttentionStep& step) {
  CudaStep cuda_step(step);
  cuda_step.Store();
  cuda_step.Attend();
  return cuda_step.Read();
}

}  // namespace kvasir::testing
