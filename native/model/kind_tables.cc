#include "model/kind_tables.h"

#include <cmath>

namespace kvasir {

namespace {

constexpr auto kFloat = static_cast<int64_t>(sizeof(float));

int64_t RopeValues(const RopeSpec& rope, int64_t positions) {
  return 2 * positions * static_cast<int64_t>(rope.inverse_frequencies.size());
}

// cos, then sin, [positions, rope_dim / 2] each. The angle is rounded to float32 as the reference does (its frequencies and
// products are float32); its cosine is that of the rounded angle, computed in double.
std::vector<float> RopeTable(const RopeSpec& rope, int64_t positions) {
  std::vector<float> tables(static_cast<size_t>(RopeValues(rope, positions)));
  const std::vector<float>& frequencies = rope.FrequenciesFor(positions);
  const size_t half = frequencies.size(), n = static_cast<size_t>(positions) * half;
  const double scale = static_cast<double>(rope.scale);
  for (size_t p = 0; p < static_cast<size_t>(positions); ++p) {
    for (size_t i = 0; i < half; ++i) {
      const auto angle = static_cast<double>(static_cast<float>(p) * frequencies[i]);
      tables[p * half + i] = static_cast<float>(std::cos(angle) * scale);
      tables[n + p * half + i] = static_cast<float>(std::sin(angle) * scale);
    }
  }
  return tables;
}

// 1 + beta log(1 + floor(position / positions of a step)), as Llama 4 tempers its attention.
std::vector<float> QueryScales(const AttentionSpec& a, int64_t positions) {
  std::vector<float> scales;
  for (int64_t p = 0; p < positions; ++p) {
    const auto steps = static_cast<double>(p / a.query_scale_positions);
    scales.push_back(static_cast<float>(1 + static_cast<double>(a.query_scale_beta) * std::log1p(steps)));
  }
  return scales;
}

}  // namespace

KindTables::KindTables(const ModelSpec& spec, int64_t positions, Device* device) : device_(*device) {
  std::vector<const float*> ropes;
  for (const RopeSpec& rope : spec.ropes) {
    ropes.push_back(Keep(RopeTable(rope, positions), "the rotary embedding"));
  }
  for (const AttentionSpec& a : spec.attentions) {
    Kind kind;
    if (a.rope >= 0) {
      const auto rope = static_cast<size_t>(a.rope);
      kind.cos = ropes[rope];
      kind.sin = kind.cos + RopeValues(spec.ropes[rope], positions) / 2;
    }
    if (a.query_scale_beta > 0) kind.q_scales = Keep(QueryScales(a, positions), "the scale of queries");
    if (!a.score_bias.slopes.empty()) kind.slopes = Keep(a.score_bias.slopes, "the bias of scores");
    kinds_.push_back(kind);
  }
}

const float* KindTables::Keep(const std::vector<float>& values, const char* purpose) {
  const auto bytes = static_cast<int64_t>(values.size()) * kFloat;
  memory_.push_back(device_.Allocate(bytes, purpose, false));
  device_.Upload(memory_.back()->data(), values.data(), bytes);
  return reinterpret_cast<const float*>(memory_.back()->data());
}

int64_t KindTables::Bytes(const ModelSpec& spec, int64_t positions) {
  int64_t values = 0;
  for (const RopeSpec& rope : spec.ropes) values += RopeValues(rope, positions);
  for (const AttentionSpec& a : spec.attentions) {
    if (a.query_scale_beta > 0) values += positions;
    values += static_cast<int64_t>(a.score_bias.slopes.size());
  }
  return values * kFloat;
}

int64_t KindTables::bytes() const {
  int64_t bytes = 0;
  for (const auto& memory : memory_) bytes += static_cast<int64_t>(memory->size());
  return bytes;
}

void KindTables::Point(size_t kind, AttentionShape* shape) const {
  shape->rope_cos = kinds_[kind].cos;
  shape->rope_sin = kinds_[kind].sin;
  shape->q_scales = kinds_[kind].q_scales;
}

}  // namespace kvasir
