// Layers with a state in float64, from the definition: whole sequences, no state carried between calls.
#include <cmath>

#include "testing/transformer_reference.h"

namespace kvasir::testing {

namespace {

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// x [n] of length 1, but for 1e-6 under the root.
void Normalize(double* x, int64_t n) {
  double squares = 1e-6;
  for (int64_t i = 0; i < n; ++i) squares += x[i] * x[i];
  for (int64_t i = 0; i < n; ++i) x[i] /= std::sqrt(squares);
}

}  // namespace

// y[t] = bias + sum of weight[j] x[t - taps + 1 + j], zeros before the first row.
Float64Model::Rows Float64Model::Convolved(const StateSpec& state, const std::string& at,
                                           const Rows& x) const {
  const std::vector<float>& weight = container_.values(at + "conv.weight");
  const size_t channels = x.front().size(), taps = static_cast<size_t>(state.taps);
  Rows out;
  for (size_t t = 0; t < x.size(); ++t) {
    Vector row(channels);
    for (size_t c = 0; c < channels; ++c) {
      if (container_.Has(at + "conv.bias")) row[c] = container_.values(at + "conv.bias")[c];
      for (size_t j = 0; j < taps; ++j) {
        if (t + j + 1 >= taps) row[c] += weight[j * channels + c] * x[t + j + 1 - taps][c];
      }
    }
    out.push_back(row);
  }
  return out;
}

// c * conv(b * x)
Float64Model::Rows Float64Model::ShortConv(const StateSpec& state, const std::string& at,
                                           const Rows& x) const {
  const auto channels = static_cast<size_t>(state.channels);
  Rows in, products;
  for (const Vector& row : x) {
    in.push_back(Linear(at + "conv_in", row));
    products.emplace_back(channels);
    for (size_t c = 0; c < channels; ++c) products.back()[c] = in.back()[c] * in.back()[2 * channels + c];
  }
  Rows out = Convolved(state, at, products);
  for (size_t t = 0; t < out.size(); ++t) {
    for (size_t c = 0; c < channels; ++c) out[t][c] *= in[t][channels + c];
  }
  return out;
}

// The gated delta rule: S = decay S (1 - beta k k^T) + beta k v^T, read by q (arXiv:2412.06464, with S as [key, value]).
Float64Model::Rows Float64Model::DeltaNet(const StateSpec& state, const std::string& at,
                                          const Rows& x) const {
  const DeltaHeads& heads = state.heads;
  const auto dk = static_cast<size_t>(heads.key_dim), dv = static_cast<size_t>(heads.value_dim),
             keys = static_cast<size_t>(heads.key_size());
  Rows mixed;
  for (const Vector& row : x) {
    Vector all = Linear(at + "delta_q", row);
    for (const char* part : {"delta_k", "delta_v"}) {
      const Vector more = Linear(at + part, row);
      all.insert(all.end(), more.begin(), more.end());
    }
    mixed.push_back(all);
  }
  mixed = Convolved(state, at, mixed);
  for (Vector& row : mixed) {
    for (double& v : row) v *= Sigmoid(v);
    for (size_t head = 0; head < 2 * keys; head += dk) Normalize(row.data() + head, heads.key_dim);
  }
  Rows out(x.size());
  for (size_t t = 0; t < x.size(); ++t) out[t].resize(static_cast<size_t>(heads.value_size()));
  for (size_t head = 0; head < static_cast<size_t>(heads.value_heads); ++head) {
    const auto key_head = static_cast<size_t>(heads.KeyHeadOf(static_cast<int64_t>(head)));
    Rows s(dk, Vector(dv));
    for (size_t t = 0; t < x.size(); ++t) {
      const double *q = mixed[t].data() + key_head * dk, *k = q + keys;
      const double* v = mixed[t].data() + 2 * keys + head * dv;
      const double beta = Sigmoid(Linear(at + "delta_b", x[t])[head]);
      const double dt = Linear(at + "delta_a", x[t])[head] + container_.values(at + "delta_dt")[head];
      const double decay = std::exp(container_.values(at + "delta_rate")[head] * std::log1p(std::exp(dt)));
      for (size_t j = 0; j < dv; ++j) {
        double read = 0;
        for (size_t i = 0; i < dk; ++i) read += decay * s[i][j] * k[i];
        double& o = out[t][head * dv + j];
        for (size_t i = 0; i < dk; ++i) {
          s[i][j] = decay * s[i][j] + k[i] * beta * (v[j] - read);
          o += s[i][j] * q[i] / std::sqrt(static_cast<double>(dk));
        }
      }
    }
  }
  for (size_t t = 0; t < x.size(); ++t) GatedNorm(at, Linear(at + "delta_z", x[t]), &out[t]);
  return out;
}

// Of each head: its RMS norm, times silu(z).
void Float64Model::GatedNorm(const std::string& at, const Vector& z, Vector* heads) const {
  const std::vector<float>& weight = container_.values(at + "delta_norm.weight");
  for (size_t head = 0; head < heads->size(); head += weight.size()) {
    double* x = heads->data() + head;
    double squares = 0;
    for (size_t j = 0; j < weight.size(); ++j) squares += x[j] * x[j] / static_cast<double>(weight.size());
    for (size_t j = 0; j < weight.size(); ++j) {
      x[j] *= weight[j] / std::sqrt(squares + spec_.norm_eps) * z[head + j] * Sigmoid(z[head + j]);
    }
  }
}

Float64Model::Rows Float64Model::State(int64_t layer, const Rows& x) const {
  const StateSpec& state = spec_.state_of(layer);
  const std::string at = "layers." + std::to_string(layer) + ".";
  Rows out;
  for (const Vector& row : state.is_delta_net() ? DeltaNet(state, at, x) : ShortConv(state, at, x)) {
    out.push_back(Linear(at + "o", row));
  }
  return out;
}

}  // namespace kvasir::testing
