#include "model/weights.h"

#include <algorithm>

#include "core/error.h"
#include "model/tensor_reader.h"

namespace kvasir {

namespace {

// Rows are converted this many bytes at a time: enough to keep all threads packing, little beside the weights.
constexpr int64_t kStagingBytes = int64_t{4} << 20;
constexpr int64_t kPanel = 32;

int64_t RoundUp(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Rows of one canonical tensor inside a packed linear.
struct Part {
  std::string name;  // without ".weight"
  int64_t rows;
};

// A linear of the graph: which tensors it stacks, [sum of rows, k].
struct LinearPlan {
  std::vector<Part> parts;
  int64_t k;
  int64_t n() const {
    int64_t rows = 0;
    for (const Part& part : parts) rows += part.rows;
    return rows;
  }
};

std::string LayerName(int64_t layer, const char* name) {
  return "layers." + std::to_string(layer) + "." + name;
}

LinearPlan QkvPlan(const ModelSpec& s, int64_t layer) {
  return {{{LayerName(layer, "q"), s.n_heads * s.head_dim},
           {LayerName(layer, "k"), s.n_kv_heads * s.head_dim},
           {LayerName(layer, "v"), s.n_kv_heads * s.head_dim}},
          s.hidden_size};
}
LinearPlan OutputPlan(const ModelSpec& s, int64_t layer) {
  return {{{LayerName(layer, "o"), s.hidden_size}}, s.n_heads * s.head_dim};
}
LinearPlan GateUpPlan(const ModelSpec& s, int64_t layer) {
  LinearPlan plan{{}, s.hidden_size};
  if (s.gated) plan.parts.push_back({LayerName(layer, "gate"), s.ffn_size});
  plan.parts.push_back({LayerName(layer, "up"), s.ffn_size});
  return plan;
}
LinearPlan DownPlan(const ModelSpec& s, int64_t layer) {
  return {{{LayerName(layer, "down"), s.hidden_size}}, s.ffn_size};
}
LinearPlan EmbeddingPlan(const ModelSpec& s) { return {{{"embed.tokens", s.vocab_size}}, s.hidden_size}; }
LinearPlan HeadPlan(const ModelSpec& s) { return {{{"lm_head", s.vocab_size}}, s.hidden_size}; }

// Every allocation of a model, in the order of loading, so that prediction and loading cannot disagree.
template <typename LinearFn, typename VectorFn>
void VisitTensors(const ModelSpec& s, const TensorMap& tensors, const LinearFn& linear,
                  const VectorFn& vector) {
  const auto norm = [&](const std::string& name) {
    vector(name + ".weight", int64_t{1}, s.hidden_size);
    if (tensors.count(name + ".bias") != 0) vector(name + ".bias", int64_t{1}, s.hidden_size);
  };
  linear(EmbeddingPlan(s));
  if (tensors.count("embed.positions") != 0) vector("embed.positions", s.max_positions, s.hidden_size);
  for (int64_t layer = 0; layer < s.n_layers; ++layer) {
    norm(LayerName(layer, "attn_norm"));
    linear(QkvPlan(s, layer));
    linear(OutputPlan(s, layer));
    norm(LayerName(layer, "ffn_norm"));
    linear(GateUpPlan(s, layer));
    linear(DownPlan(s, layer));
  }
  norm("final_norm");
  if (tensors.count("lm_head.weight") != 0) linear(HeadPlan(s));
}

bool HasBias(const LinearPlan& plan, const TensorMap& tensors) {
  for (const Part& part : plan.parts) {
    if (tensors.count(part.name + ".bias") != 0) return true;
  }
  return false;
}

// The embedding goes by its bare name, linears by "<name>.weight".
std::string WeightName(const Part& part, const TensorMap& tensors) {
  return tensors.count(part.name) != 0 ? part.name : part.name + ".weight";
}

class Loader {
 public:
  Loader(const TensorMap& tensors, Dtype dtype, TensorReader& reader, Backend& backend, Weights& weights)
      : tensors_(tensors), dtype_(dtype), reader_(reader), backend_(backend), weights_(weights) {}

  void CheckShapes(const ModelSpec& spec) {
    VisitTensors(
        spec, tensors_,
        [&](const LinearPlan& plan) {
          for (const Part& part : plan.parts) {
            reader_.CheckShape(WeightName(part, tensors_), part.rows, plan.k);
            if (reader_.Has(part.name + ".bias")) reader_.CheckShape(part.name + ".bias", 1, part.rows);
            total_ += part.rows * plan.k;
          }
        },
        [&](const std::string& name, int64_t rows, int64_t columns) {
          reader_.CheckShape(name, rows, columns);
          total_ += rows * columns;
        });
    weights_.parameters = total_;
  }

  LinearWeight Linear(const LinearPlan& plan) {
    LinearWeight linear;
    linear.dtype = dtype_;
    linear.n = plan.n();
    linear.k = plan.k;
    linear.panels =
        weights_.arena.Take(static_cast<size_t>(backend_.PackedBytes(dtype_, linear.n, linear.k)));
    // Staged rows may span parts, so that panels stay whole whatever the parts' sizes.
    const int64_t rows_at_once = std::max(kPanel, kStagingBytes / (plan.k * 4) / kPanel * kPanel);
    const size_t staging_bytes =
        static_cast<size_t>(std::min(rows_at_once, RoundUp(linear.n, kPanel)) * plan.k * 4);
    if (staging_.size() < staging_bytes) staging_ = AlignedBuffer(staging_bytes, "converting the weights");
    for (int64_t first = 0; first < linear.n; first += rows_at_once) {
      const int64_t count = std::min(rows_at_once, linear.n - first);
      Stage(plan, first, count);
      backend_.PackRows(linear, first, count, reinterpret_cast<const float*>(staging_.data()));
      Advance(count * plan.k);
    }
    if (HasBias(plan, tensors_)) linear.bias = Bias(plan);
    return linear;
  }

  float* Vector(const std::string& name, int64_t rows, int64_t columns) {
    float* values = weights_.arena.TakeArray<float>(static_cast<size_t>(rows * columns));
    reader_.ReadRows(name, 0, rows, columns, values);
    Advance(rows * columns);
    return values;
  }

  void Observe(const CancellationToken& cancellation, const std::function<void(int64_t, int64_t)>& progress) {
    cancellation_ = &cancellation;
    progress_ = &progress;
  }

 private:
  void Stage(const LinearPlan& plan, int64_t first, int64_t count) {
    float* out = reinterpret_cast<float*>(staging_.data());
    int64_t part_begin = 0;
    for (const Part& part : plan.parts) {
      const int64_t begin = std::max(first, part_begin),
                    end = std::min(first + count, part_begin + part.rows);
      if (begin < end) {
        reader_.ReadRows(WeightName(part, tensors_), begin - part_begin, end - begin, plan.k, out);
        out += (end - begin) * plan.k;
      }
      part_begin += part.rows;
    }
  }

  const float* Bias(const LinearPlan& plan) {
    float* bias = weights_.arena.TakeArray<float>(static_cast<size_t>(RoundUp(plan.n(), kPanel)));
    float* out = bias;
    for (const Part& part : plan.parts) {
      if (reader_.Has(part.name + ".bias")) reader_.ReadRows(part.name + ".bias", 0, 1, part.rows, out);
      out += part.rows;
    }
    return bias;
  }

  void Advance(int64_t elements) {
    loaded_ += elements;
    if (cancellation_ != nullptr) cancellation_->ThrowIfCancelled();
    if (progress_ != nullptr && *progress_) (*progress_)(loaded_, total_);
  }

  const TensorMap& tensors_;
  Dtype dtype_;
  TensorReader& reader_;
  Backend& backend_;
  Weights& weights_;
  AlignedBuffer staging_;  // [rows, k] f32, mapped: what malloc keeps would stay resident
  const CancellationToken* cancellation_ = nullptr;
  const std::function<void(int64_t, int64_t)>* progress_ = nullptr;
  int64_t loaded_ = 0, total_ = 0;
};

NormWeight LoadNorm(const ModelSpec& spec, const TensorMap& tensors, const std::string& name,
                    Loader& loader) {
  NormWeight norm;
  norm.kind = spec.norm;
  norm.eps = spec.norm_eps;
  norm.weight = loader.Vector(name + ".weight", 1, spec.hidden_size);
  if (tensors.count(name + ".bias") != 0) norm.bias = loader.Vector(name + ".bias", 1, spec.hidden_size);
  return norm;
}

}  // namespace

WeightBytes PredictWeightBytes(const ModelSpec& spec, const TensorMap& tensors, const LoadOptions& options,
                               const Backend& backend) {
  WeightBytes bytes;
  const auto add = [&](int64_t n) {
    bytes.total += static_cast<int64_t>(Arena::Padded(static_cast<size_t>(n)));
  };
  VisitTensors(
      spec, tensors,
      [&](const LinearPlan& plan) {
        add(backend.PackedBytes(options.dtype, plan.n(), plan.k));
        bytes.scales += backend.PackedScaleBytes(options.dtype, plan.n(), plan.k);
        if (HasBias(plan, tensors)) add(RoundUp(plan.n(), kPanel) * 4);
      },
      [&](const std::string&, int64_t rows, int64_t columns) { add(rows * columns * 4); });
  return bytes;
}

std::unique_ptr<Weights> LoadWeights(const ModelSpec& spec, const TensorMap& tensors,
                                     const LoadOptions& options, const Container& container, Backend& backend,
                                     const CancellationToken& cancellation,
                                     const std::function<void(int64_t, int64_t)>& progress) {
  auto weights = std::make_unique<Weights>();
  TensorReader reader(container, tensors);
  Loader loader(tensors, options.dtype, reader, backend, *weights);
  loader.CheckShapes(spec);
  const WeightBytes bytes = PredictWeightBytes(spec, tensors, options, backend);
  weights->bytes = bytes.total;
  weights->scale_bytes = bytes.scales;
  weights->arena = Arena(static_cast<size_t>(bytes.total), "the weights");
  loader.Observe(cancellation, progress);

  weights->embed_tokens = loader.Linear(EmbeddingPlan(spec));
  if (reader.Has("embed.positions")) {
    weights->embed_positions = loader.Vector("embed.positions", spec.max_positions, spec.hidden_size);
  }
  for (int64_t i = 0; i < spec.n_layers; ++i) {
    LayerWeights layer;
    layer.attn_norm = LoadNorm(spec, tensors, LayerName(i, "attn_norm"), loader);
    layer.qkv = loader.Linear(QkvPlan(spec, i));
    layer.o = loader.Linear(OutputPlan(spec, i));
    layer.ffn_norm = LoadNorm(spec, tensors, LayerName(i, "ffn_norm"), loader);
    layer.gate_up = loader.Linear(GateUpPlan(spec, i));
    layer.down = loader.Linear(DownPlan(spec, i));
    weights->layers.push_back(layer);
  }
  weights->final_norm = LoadNorm(spec, tensors, "final_norm", loader);
  weights->lm_head = reader.Has("lm_head.weight") ? loader.Linear(HeadPlan(spec)) : weights->embed_tokens;
  return weights;
}

}  // namespace kvasir
