#include "model/model_spec.h"

#include "core/error.h"

namespace kvasir {

namespace {

// Far above any model that fits a machine, far below where products of two would overflow.
constexpr int64_t kLargestSize = int64_t{1} << 24;

void Positive(const char* what, int64_t value, int64_t limit = kLargestSize) {
  if (value >= 1 && value <= limit) return;
  throw Error(ErrorCode::kModelFormat, std::string("The model's ") + what + " is " + std::to_string(value) +
                                           ", outside 1.." + std::to_string(limit));
}

}  // namespace

void ModelSpec::Check() const {
  Positive("vocabulary size", vocab_size);
  Positive("hidden size", hidden_size);
  Positive("number of layers", n_layers, 4096);
  Positive("number of heads", n_heads, 4096);
  Positive("number of key/value heads", n_kv_heads, 4096);
  Positive("head dimension", head_dim, 1024);
  Positive("feed-forward size", ffn_size);
  Positive("number of positions", max_positions, int64_t{1} << 28);
  if (n_heads % n_kv_heads != 0) {
    throw Error(ErrorCode::kModelFormat, "The model's " + std::to_string(n_heads) +
                                             " heads do not divide among " + std::to_string(n_kv_heads) +
                                             " key/value heads");
  }
  if (rope != RopeKind::kNone &&
      (inverse_frequencies.empty() || 2 * static_cast<int64_t>(inverse_frequencies.size()) > head_dim)) {
    throw Error(ErrorCode::kModelFormat,
                "Rotary frequencies do not fit the head dimension " + std::to_string(head_dim));
  }
  if (!(norm_eps >= 0) || !(attention_scale >= 0)) {
    throw Error(ErrorCode::kModelFormat,
                "The model's norm epsilon or attention scale is negative or not a number");
  }
}

}  // namespace kvasir
