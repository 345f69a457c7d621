#include "testing/cuda_kernel_times.h"

#include <algorithm>
#include <utility>

#include "backend/cuda/kernels.h"
#include "testing/cuda_ceilings.h"

namespace kvasir::testing {

namespace {

constexpr int kSamples = 3;

// What every kernel reads and writes, by the largest step. Values do not matter to the time; all of them are finite.
class Buffer {
 public:
  Buffer(const cuda::Gpu& gpu, int64_t bytes, int value) {
    memory_ = cuda::AllocateOnDevice(gpu, bytes, "a measurement");
    cuda::Check(cudaMemsetAsync(memory_->data(), value, static_cast<size_t>(bytes), gpu.stream()),
                "clearing");
  }
  template <typename T>
  T* As() const {
    return reinterpret_cast<T*>(memory_->data());
  }

 private:
  std::unique_ptr<BackendMemory> memory_;
};

template <typename T>
Buffer BufferOf(const cuda::Gpu& gpu, const std::vector<T>& values) {
  Buffer buffer(gpu, static_cast<int64_t>(values.size() * sizeof(T)), 0);
  cuda::Check(cudaMemcpyAsync(buffer.As<T>(), values.data(), values.size() * sizeof(T),
                              cudaMemcpyHostToDevice, gpu.stream()),
              "copying a table");
  gpu.Synchronize();
  return buffer;
}

int64_t LinearBytes(int64_t n, int64_t k) {
  return cuda::CeilDiv(n, kPanelColumns) * kPanelColumns * cuda::CeilDiv(k, kGroup) * (kGroup + 2);
}

class Times {
 public:
  Times(const LayerShape& shape, const cuda::Gpu& gpu, const std::function<void(const KernelTime&)>& report);
  void Linears(int64_t rows);
  void RowOps(int64_t rows);
  void Logits(int64_t rows);
  // `sequences` of `start` positions in the cache; each adds `tokens`.
  void Attention(int64_t sequences, int64_t start, int64_t tokens);

 private:
  cudaStream_t stream() const { return gpu_.stream(); }
  int64_t Widest() const { return std::max({2 * s_.feed_forward, s_.vocabulary, QkvWidth()}); }
  int64_t QkvWidth() const { return (s_.heads + 2 * s_.kv_heads) * s_.head_dim; }
  int64_t MostRows() const {
    return std::max(s_.prompt, *std::max_element(s_.batches.begin(), s_.batches.end()));
  }
  cuda::Activations Rows(int64_t width) const;
  void Linear(const char* name, int64_t n, int64_t k, int64_t rows);
  // The time of one of `launches`.
  void Time(KernelTime time, const std::function<void(int)>& launch);

  const LayerShape& s_;
  const cuda::Gpu& gpu_;
  const std::function<void(const KernelTime&)>& report_;
  Buffer weights_, values_, scales_, x_, out_, vector_;
};

Times::Times(const LayerShape& shape, const cuda::Gpu& gpu,
             const std::function<void(const KernelTime&)>& report)
    : s_(shape),
      gpu_(gpu),
      report_(report),
      weights_(gpu, std::max(s_.cold_bytes, LinearBytes(s_.vocabulary, s_.width)), 1),
      values_(gpu, MostRows() * 2 * s_.feed_forward, 1),
      scales_(gpu, MostRows() * 2 * s_.feed_forward, 0),
      x_(gpu, MostRows() * Widest() * 4, 0),
      out_(gpu, MostRows() * Widest() * 4, 0),
      vector_(gpu, Widest() * 4, 0) {}

cuda::Activations Times::Rows(int64_t width) const {
  return {.dtype = Dtype::kInt8,
          .width = width,
          .f32 = nullptr,
          .values = values_.As<int8_t>(),
          .scales = scales_.As<float>()};
}

void Times::Time(KernelTime time, const std::function<void(int)>& launch) {
  time.seconds = SecondsOf(stream(), kSamples,
                           [&] {
                             for (int i = 0; i < s_.launches; ++i) launch(i);
                           }) /
                 s_.launches;
  report_(time);
}

void Times::Linear(const char* name, int64_t n, int64_t k, int64_t rows) {
  const int64_t bytes = LinearBytes(n, k);
  const auto copies = static_cast<int>(std::max<int64_t>(s_.cold_bytes / bytes, 1));
  Time({.name = name, .rows = rows, .bytes = bytes, .operations = 2 * rows * n * k}, [&](int i) {
    const LinearWeight weight = {
        .dtype = Dtype::kInt8, .n = n, .k = k, .panels = weights_.As<uint8_t>() + i % copies * bytes};
    cuda::Linear(weight, Rows(k), rows, out_.As<float>(), n, false, stream());
  });
}

void Times::Linears(int64_t rows) {
  Linear("linear qkv", QkvWidth(), s_.width, rows);
  Linear("linear o", s_.width, s_.heads * s_.head_dim, rows);
  Linear("linear gate_up", 2 * s_.feed_forward, s_.width, rows);
  Linear("linear down", s_.width, s_.feed_forward, rows);
}

void Times::RowOps(int64_t rows) {
  const NormWeight norm = {.kind = NormKind::kRms, .eps = 1e-5f, .weight = vector_.As<float>()};
  cuda::Activations normed = Rows(s_.width);
  normed.f32 = out_.As<float>();
  Time({.name = "norm", .rows = rows, .bytes = rows * s_.width * 4},
       [&](int) { cuda::Norm(norm, x_.As<float>(), rows, normed, stream()); });
  const int64_t joined = s_.heads * s_.head_dim;
  Time({.name = "quantize", .rows = rows, .bytes = rows * joined * 4},
       [&](int) { cuda::Quantize(x_.As<float>(), rows, true, Rows(joined), stream()); });
  Time({.name = "activation", .rows = rows, .bytes = rows * s_.feed_forward * 8}, [&](int) {
    cuda::Activate(ActivationKind::kSilu, true, x_.As<float>(), rows, Rows(s_.feed_forward), stream());
  });
}

void Times::Logits(int64_t rows) {
  Linear("linear lm_head", s_.vocabulary, s_.width, rows);
  constexpr int64_t kCandidates = 256;
  const int64_t count = std::min(kCandidates, s_.vocabulary);
  const Buffer ids(gpu_, rows * count * 4, 0), logits(gpu_, rows * count * 4, 0), max(gpu_, rows * 4, 0);
  const Buffer sums(gpu_, rows * 2 * cuda::CeilDiv(s_.vocabulary, cuda::kSumBlock) * 4, 0);
  const Buffer scratch(gpu_, cuda::SummaryScratchBytes(rows, s_.vocabulary), 0);
  const cuda::LogitsOutput out = {ids.As<int32_t>(), logits.As<float>(), max.As<float>(), sums.As<float>(),
                                  scratch.As<void>()};
  Time({.name = "logits summary", .rows = rows, .bytes = rows * s_.vocabulary * 4}, [&](int) {
    cuda::SummarizeLogits(x_.As<float>(), rows, s_.vocabulary, count, vector_.As<float>(), out, stream());
  });
}

// The tables of a step of equal sequences.
struct StepLists {
  std::vector<int32_t> positions, sequences, pages, lengths;
  std::vector<cuda::AttentionTile> tiles;
  int64_t ld_pages;

  StepLists(int64_t n, int64_t start, int64_t tokens, int64_t group)
      : ld_pages(cuda::CeilDiv(start + tokens, cuda::kPage)) {
    for (int64_t i = 0; i < n; ++i) {
      lengths.push_back(static_cast<int32_t>(start + tokens));
      for (int64_t page = 0; page < ld_pages; ++page)
        pages.push_back(static_cast<int32_t>(i * ld_pages + page));
      for (int64_t token = 0; token < tokens; ++token) {
        positions.push_back(static_cast<int32_t>(start + token));
        sequences.push_back(static_cast<int32_t>(i));
      }
      for (int64_t row = 0; row < tokens * group; row += cuda::kTileRows) {
        tiles.push_back({static_cast<int32_t>(i), static_cast<int32_t>(row),
                         static_cast<int32_t>(std::min<int64_t>(cuda::kTileRows, tokens * group - row)),
                         static_cast<int32_t>(i * tokens), static_cast<int32_t>(start)});
      }
    }
  }
};

void Times::Attention(int64_t sequences, int64_t start, int64_t tokens) {
  const int64_t rows = sequences * tokens, group = s_.heads / s_.kv_heads;
  const StepLists lists(sequences, start, tokens, group);
  const Buffer positions = BufferOf(gpu_, lists.positions), owners = BufferOf(gpu_, lists.sequences),
               pages = BufferOf(gpu_, lists.pages), lengths = BufferOf(gpu_, lists.lengths),
               tiles = BufferOf(gpu_, lists.tiles);
  const KvLayout layout = {.dtype = Dtype::kInt8,
                           .n_layers = 1,
                           .n_kv_heads = s_.kv_heads,
                           .head_dim = s_.head_dim,
                           .padded_head_dim = s_.head_dim,
                           .n_pages = static_cast<int64_t>(lists.pages.size())};
  const Buffer pool(gpu_, layout.PoolBytes(), 0);
  const Buffer rope(gpu_, (start + tokens) * s_.head_dim * 4, 0);
  const AttentionShape shape = {.n_heads = s_.heads,
                                .n_kv_heads = s_.kv_heads,
                                .head_dim = s_.head_dim,
                                .padded_head_dim = s_.head_dim,
                                .scale = 0.125f,
                                .rope = RopeKind::kHalf,
                                .rope_dim = s_.head_dim,
                                .rope_cos = rope.As<float>(),
                                .rope_sin = rope.As<float>(),
                                .rotation = 64};
  const Queries queries = {
      .dtype = Dtype::kInt8, .values = values_.As<int8_t>(), .scales = scales_.As<float>()};
  cuda::StepTable table;
  table.positions = positions.As<int32_t>(), table.sequences = owners.As<int32_t>();
  table.pages = pages.As<int32_t>(), table.tiles = tiles.As<cuda::AttentionTile>();
  table.lengths = lengths.As<int32_t>(), table.ld_pages = lists.ld_pages, table.rows = rows;
  table.n_tiles = static_cast<int64_t>(lists.tiles.size());
  table.max_chunks = cuda::CeilDiv(start + tokens, cuda::kChunk);
  // As StepTables decides.
  table.split = table.max_chunks > 1 && table.n_tiles * s_.kv_heads < 2 * gpu_.multiprocessors();
  const std::string step = tokens == 1 ? " at depth " + std::to_string(start) : " of a prompt";
  Time({.name = "store kv" + step, .rows = rows, .bytes = rows * QkvWidth() * 4}, [&](int) {
    cuda::StoreKv(shape, {}, {pool.As<uint8_t>(), layout, 0}, table, {.first = 0, .count = rows},
                  x_.As<float>(), queries, stream());
  });
  const int64_t partial =
      table.split ? cuda::AttentionPartialBytes(shape, table.n_tiles, table.max_chunks) : 4;
  const Buffer partials(gpu_, partial, 0);
  const int64_t seen = tokens == 1 ? start + 1 : (tokens + 1) / 2;  // positions of a row, on average
  const KernelTime time = {.name = "attention" + step,
                           .rows = rows,
                           .bytes = sequences * (start + tokens) * layout.LayerBytes() / cuda::kPage,
                           .operations = 4 * rows * s_.heads * s_.head_dim * seen};
  Time(time, [&](int) {
    cuda::Attention({.shape = &shape, .layout = &layout, .pages = pool.As<uint8_t>(), .rows = rows}, table,
                    queries, partials.As<float>(), out_.As<float>(), stream());
  });
}

}  // namespace

LayerShape LayerShapeOf(const std::string& name) {
  const std::vector<int64_t> batches = {1, 8, 32, 128};
  constexpr int64_t kCold = int64_t{512} << 20;  // ten times what an L2 holds
  if (name == "1b") return {2048, 32, 8, 64, 8192, 128'256, batches, 512, 4096, kCold, 20};
  if (name == "8b") return {4096, 32, 8, 128, 14'336, 128'256, batches, 512, 4096, kCold, 20};
  if (name == "tiny") return {64, 2, 1, 64, 128, 300, {1, 3}, 5, 70, 0, 1};
  throw Error(ErrorCode::kInvalidOption, "'" + name + "' is no shape; there are 1b, 8b and tiny");
}

void TimeKernels(const LayerShape& shape, const cuda::Gpu& gpu,
                 const std::function<void(const KernelTime&)>& report) {
  Times times(shape, gpu, report);
  for (const int64_t rows : shape.batches) {
    times.Linears(rows);
    times.RowOps(rows);
    times.Attention(rows, shape.depth, 1);
    times.Logits(rows);
  }
  times.Linears(shape.prompt);
  times.RowOps(shape.prompt);
  times.Attention(1, 0, shape.prompt);
  gpu.Synchronize();
}

}  // namespace kvasir::testing
