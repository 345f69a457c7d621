#include "model/distance_bias.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace kvasir {

namespace {

constexpr auto kFloat = static_cast<int64_t>(sizeof(float));

bool HasBuckets(const AttentionSpec& a) { return a.score_bias.kind == ScoreBiasSpec::Kind::kBuckets; }

// Keys farther away than this share the bucket of one that is as far, or there are none.
int64_t ReachOf(const AttentionSpec& a, int64_t positions) {
  return std::min(a.score_bias.max_distance, positions - 1);
}

int64_t Values(const AttentionSpec& a, int64_t reach) { return a.n_heads * (2 * reach + 1); }

// [n_heads, 2 * reach + 1] of a table [buckets, n_heads]
std::vector<float> Expanded(const AttentionSpec& a, const float* table, int64_t reach) {
  std::vector<float> values(static_cast<size_t>(Values(a, reach)));
  for (int64_t distance = -reach; distance <= reach; ++distance) {
    const float* row = table + BucketOf(a.score_bias, distance) * a.n_heads;
    for (int64_t head = 0; head < a.n_heads; ++head) {
      values[static_cast<size_t>(head * (2 * reach + 1) + distance + reach)] = row[head];
    }
  }
  return values;
}

}  // namespace

// Half of the buckets are for one distance each, the others grow with its logarithm up to the largest.
int64_t BucketOf(const ScoreBiasSpec& bias, int64_t distance) {
  const int64_t side = bias.bidirectional ? bias.buckets / 2 : bias.buckets;
  const int64_t after = bias.bidirectional && distance > 0 ? side : 0;
  const int64_t n = bias.bidirectional ? std::abs(distance) : std::max<int64_t>(-distance, 0);
  const int64_t exact = side / 2;
  if (n < exact) return after + n;
  const double of_largest = std::log(static_cast<double>(n) / static_cast<double>(exact)) /
                            std::log(static_cast<double>(bias.max_distance) / static_cast<double>(exact));
  const auto grown = static_cast<int64_t>(of_largest * static_cast<double>(side - exact));
  return after + std::min(exact + grown, side - 1);
}

DistanceBiases::DistanceBiases(const ModelSpec& spec, const Weights& weights, int64_t first, int64_t end,
                               int64_t positions, Device* device)
    : first_(first), layers_(static_cast<size_t>(end - first)) {
  for (int64_t i = first; i < end; ++i) {
    if (spec.has_state(i)) continue;
    const AttentionSpec& a = spec.attention_of(i);
    if (!HasBuckets(a)) continue;
    std::vector<float> copy;
    const float* table = device->HostView(weights.layers[static_cast<size_t>(i)].score_bias,
                                          a.score_bias.buckets * a.n_heads, &copy);
    Layer& layer = layers_[static_cast<size_t>(i - first)];
    layer.reach = ReachOf(a, positions);
    const std::vector<float> values = Expanded(a, table, layer.reach);
    layer.values = device->Allocate(Values(a, layer.reach) * kFloat, "the bias of scores", false);
    device->Upload(layer.values->data(), values.data(), Values(a, layer.reach) * kFloat);
  }
}

int64_t DistanceBiases::Bytes(const ModelSpec& spec, int64_t positions) {
  int64_t values = 0;
  for (int64_t i = 0; i < spec.n_layers(); ++i) {
    if (spec.has_state(i)) continue;
    const AttentionSpec& a = spec.attention_of(i);
    if (HasBuckets(a)) values += Values(a, ReachOf(a, positions));
  }
  return values * kFloat;
}

int64_t DistanceBiases::bytes() const {
  int64_t bytes = 0;
  for (const Layer& layer : layers_) {
    if (layer.values != nullptr) bytes += static_cast<int64_t>(layer.values->size());
  }
  return bytes;
}

void DistanceBiases::Point(int64_t layer, AttentionBias* bias) const {
  const Layer& own = layers_[static_cast<size_t>(layer - first_)];
  if (own.values == nullptr) return;
  bias->distance_bias = reinterpret_cast<const float*>(own.values->data());
  bias->reach = own.reach;
}

}  // namespace kvasir
