#include "testing/transformer_models.h"

#include <algorithm>
#include <cmath>

#include "runtime/load.h"
#include "testing/kernel_inputs.h"

namespace kvasir::testing {

std::vector<float> RopeFrequencies(int64_t dim) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < dim / 2; ++i) {
    frequencies.push_back(
        static_cast<float>(std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(dim))));
  }
  return frequencies;
}

void SetLayers(ModelSpec* spec, int64_t layers) {
  spec->stack.layers.assign(static_cast<size_t>(layers), LayerSpec());
}

ModelKind LlamaLike() {
  ModelKind kind;
  kind.name = "llama-like";
  kind.spec = {.vocab_size = 131,
               .hidden_size = 96,
               .max_positions = 2048,
               .ropes = {{.kind = RopeKind::kInterleaved, .inverse_frequencies = RopeFrequencies(16)}},
               .attentions = {{.n_heads = 6, .n_kv_heads = 2, .head_dim = 16, .rope = 0}},
               .feed_forwards = {{.activation = ActivationKind::kSilu, .gated = true, .size = 116}},
               .norm = NormKind::kRms,
               .norm_eps = 1e-5f};
  SetLayers(&kind.spec, 3);
  return kind;
}

ModelKind LlamaLikeHalf() {
  ModelKind kind = LlamaLike();
  kind.name = "llama-like, half rope";
  kind.spec.ropes[0].kind = RopeKind::kHalf;
  return kind;
}

ModelKind WideHeads() {
  ModelKind kind = LlamaLikeHalf();
  kind.name = "heads of 64";
  SetLayers(&kind.spec, 2);
  kind.attention() = {.n_heads = 3, .n_kv_heads = 1, .head_dim = 64, .rope = 0};
  kind.spec.ropes[0].inverse_frequencies = RopeFrequencies(64);
  kind.feed_forward().activation = ActivationKind::kGeluErf;
  return kind;
}

ModelKind GptLike() {
  ModelKind kind;
  kind.name = "gpt-like";
  kind.spec = {.vocab_size = 131,
               .hidden_size = 60,
               .max_positions = 2048,
               .attentions = {{.n_heads = 5, .n_kv_heads = 5, .head_dim = 12}},
               .feed_forwards = {{.activation = ActivationKind::kGeluTanh, .size = 100}},
               .embedding = {.positions = 2048},
               .norm = NormKind::kLayer,
               .norm_eps = 1e-5f};
  SetLayers(&kind.spec, 2);
  kind.layer_norm_biases = true;
  kind.linear_biases = true;
  kind.tied = false;
  return kind;
}

ModelKind BertLike() {
  ModelKind kind = GptLike();
  kind.name = "bert-like";
  ModelSpec& spec = kind.spec;
  kind.attention().causal = false;
  kind.attention().score_bias = {
      .kind = ScoreBiasSpec::Kind::kBuckets, .buckets = 32, .max_distance = 128, .bidirectional = true};
  kind.feed_forward().activation = ActivationKind::kGeluErf;
  spec.embedding = {.positions = 2050, .position_offset = 2, .types = 2, .norm = true};
  spec.stack.form = BlockForm::kAddNorm;
  spec.final_norm = false;
  spec.head = HeadKind::kNone;
  return kind;
}

ModelKind ModernBertLike() {
  ModelKind kind = LlamaLikeHalf();
  kind.name = "modernbert-like";
  ModelSpec& spec = kind.spec;
  kind.attention().causal = false;
  spec.attentions.push_back(kind.attention());
  spec.attentions[1].window = 65;
  kind.feed_forward().activation = ActivationKind::kGeluErf;
  spec.embedding.norm = true;
  spec.norm = NormKind::kLayer;
  spec.stack.first_norm = false;
  spec.stack.layers[1].attention = 1;
  spec.head = HeadKind::kNone;
  return kind;
}

ModelKind ShortConvLike() {
  ModelKind kind = LlamaLikeHalf();
  kind.name = "short convolutions";
  kind.spec.states = {{.kind = StateSpec::Kind::kShortConv, .taps = 3, .channels = kind.spec.hidden_size}};
  kind.spec.stack.layers = {{-1, 0, 0}, {0, 0}, {-1, 0, 0}};
  return kind;
}

ModelKind DeltaNetLike() {
  ModelKind kind = LlamaLikeHalf();
  kind.name = "gated delta net";
  const DeltaHeads heads = {.key_heads = 2, .value_heads = 4, .key_dim = 20, .value_dim = 40};
  kind.spec.states = {{.kind = StateSpec::Kind::kDeltaNet, .taps = 4, .heads = heads}};
  kind.spec.stack.layers = {{-1, 0, 0}, {-1, 0, 0}, {0, 0}, {-1, 0, 0}};
  kind.attention().output_gate = true;
  return kind;
}

RandomContainer::RandomContainer(const ModelKind& kind, uint32_t seed) {
  Random random(seed);
  const auto add = [&](const std::string& name, std::vector<int64_t> shape, float mean, float scale) {
    int64_t n = 1;
    for (const int64_t d : shape) n *= d;
    std::vector<float>& values = values_[name] = random.Bells(n, scale);
    for (float& v : values) v += mean;
    tensors_.push_back({name, "F32", std::move(shape), static_cast<uint64_t>(n) * 4, 0, 0});
  };
  for (const ModelTensor& tensor : TensorsOf(kind.spec)) {
    const auto fan_in = static_cast<float>(tensor.columns);
    if (tensor.place == TensorPlace::kLmHead) {
      if (!kind.tied) add("lm_head.weight", {tensor.rows, tensor.columns}, 0, 0.2f);
    } else if (tensor.role == TensorRole::kTable) {
      add(tensor.name, {tensor.rows, tensor.columns}, 0, 1);
    } else if (tensor.role == TensorRole::kLinear) {
      for (const TensorPart& part : tensor.parts) {
        add(part.name + ".weight", {part.rows, tensor.columns}, 0, 1.2f / std::sqrt(fan_in));
        if (kind.linear_biases) add(part.name + ".bias", {part.rows}, 0, 0.1f);
      }
    } else if (tensor.place == TensorPlace::kDeltaRate) {
      add(tensor.name, {tensor.columns}, -0.6f, 0.15f);
    } else if (tensor.place == TensorPlace::kDeltaDt) {
      add(tensor.name, {tensor.columns}, 0, 0.5f);
    } else if (tensor.rows > 1) {
      add(tensor.name, {tensor.rows, tensor.columns}, 0, 0.5f);
    } else if (tensor.is_bias) {
      if (kind.layer_norm_biases) add(tensor.name, {tensor.columns}, 0, 0.1f);
    } else {
      add(tensor.name, {tensor.columns}, 1, 0.2f);
    }
  }
}

const TensorInfo* RandomContainer::Find(const std::string& name) const {
  for (const TensorInfo& tensor : tensors_) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

void RandomContainer::ReadRows(const TensorInfo& tensor, int64_t first_row, int64_t n_rows,
                               float* out) const {
  const int64_t columns = tensor.shape.back();
  std::copy_n(values_.at(tensor.name).begin() + first_row * columns, n_rows * columns, out);
}

TensorMap RandomContainer::canonical() const {
  TensorMap map;
  for (const TensorInfo& tensor : tensors_) map[tensor.name] = {tensor.name, false, 0};
  return map;
}

LoadOptions OptionsOf(const Setup& setup) {
  LoadOptions options;
  options.dtype = setup.dtype;
  options.kv_dtype = setup.kv_dtype;
  options.context_length = setup.context_length;
  options.kv_capacity = setup.kv_capacity > 0 ? setup.kv_capacity : 10 * setup.context_length;
  options.threads = setup.threads;
  options.isa = setup.isa;
  return options;
}

std::unique_ptr<Transformer> Load(const ModelKind& kind, const RandomContainer& container,
                                  const Setup& setup) {
  return LoadTransformer(kind.spec, container.canonical(), OptionsOf(setup), container, CancellationToken(),
                         nullptr);
}

std::vector<int32_t> RandomTokens(uint32_t seed, int64_t n, int64_t vocab) {
  Random random(seed);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < n; ++i) tokens.push_back(static_cast<int32_t>(random.Integer(0, vocab - 1)));
  return tokens;
}

int32_t TypeOf(const ModelSpec& spec, int32_t token) {
  return spec.embedding.types == 0 ? 0 : token % static_cast<int32_t>(spec.embedding.types);
}

Batch BatchOf(const std::vector<std::pair<int32_t, std::vector<int32_t>>>& parts) {
  Batch batch;
  for (const auto& [id, tokens] : parts) {
    batch.sequences.push_back({id, static_cast<int64_t>(tokens.size())});
    for (const int32_t token : tokens) {
      batch.wanted.push_back(static_cast<int32_t>(batch.tokens.size()));
      batch.tokens.push_back(token);
    }
  }
  return batch;
}

Rows Forward(Transformer& transformer, const Batch& batch, TapSink* taps,
             const CancellationToken* cancellation) {
  Rows rows(batch.wanted.size());
  const ModelSpec& spec = transformer.spec();
  const bool logits = spec.head == HeadKind::kLogits;
  const int64_t width = logits ? spec.vocab_size : spec.hidden_size;
  Batch asked = batch;
  if (spec.embedding.types > 0) {
    for (const int32_t token : batch.tokens) asked.types.push_back(TypeOf(spec, token));
  }
  for (WantedRow& wanted : asked.wanted) wanted = {wanted.row, logits, !logits};
  transformer.Forward(asked, cancellation, taps, [&](const StepRows& step) {
    std::vector<float> buffer;
    const float* given = logits ? step.logits : step.hidden;
    const float* values = transformer.backend().HostView(given, step.count * width, &buffer);
    for (int64_t i = 0; i < step.count; ++i) {
      rows[static_cast<size_t>(step.first + i)].assign(values + i * width, values + (i + 1) * width);
    }
  });
  return rows;
}

Rows Append(Transformer& transformer, int32_t sequence, const std::vector<int32_t>& tokens, int64_t first,
            int64_t n) {
  return Forward(transformer, BatchOf({{sequence, {tokens.begin() + first, tokens.begin() + first + n}}}));
}

std::string RowDifference(const Rows& actual, const Rows& expected, int64_t first) {
  for (size_t i = 0; i < actual.size(); ++i) {
    const size_t at = static_cast<size_t>(first) + i;
    if (at >= expected.size()) return "more rows than expected";
    const std::string difference = BitDifference(actual[i], expected[at]);
    if (!difference.empty()) return "row " + std::to_string(at) + difference;
  }
  return "";
}

}  // namespace kvasir::testing
