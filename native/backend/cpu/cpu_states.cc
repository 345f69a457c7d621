// Layers with a state: a sequence's rows go through a few channels, or through a head, as one task, in their order.
#include <cmath>

#include "backend/cpu/cpu_backend.h"

namespace kvasir::cpu {

namespace {

// Channels of a task: four cache lines of a row.
constexpr int64_t kTaskChannels = 64;

// Of channels [first, first + count) of all `width`, whose convolution's state begins a layer's.
ConvRows ConvOf(const ConvForm& conv, const StateMemory& states, const SequenceSpan& sequence, int64_t first,
                int64_t count, int64_t width) {
  const float* from = states.At(sequence.state);
  return {.rows = sequence.n_tokens,
          .channels = count,
          .taps = static_cast<int>(conv.taps),
          .weight = conv.weight + first,
          .ld_weight = width,
          .bias = conv.bias == nullptr ? nullptr : conv.bias + first,
          .from = from == nullptr ? nullptr : from + first,
          .to = states.At(sequence.next_state) + first,
          .ld_state = width};
}

}  // namespace

void CpuBackend::ShortConv(const ShortConvArgs& args) {
  const int64_t channels = args.channels, parts = CeilDiv(channels, kTaskChannels);
  pool_.ParallelFor(args.n_sequences * parts, [&](int64_t task, int) {
    const SequenceSpan& sequence = args.sequences[task / parts];
    const int64_t first = task % parts * kTaskChannels;
    const ConvRows conv =
        ConvOf(args.conv, args.states, sequence, first, std::min(kTaskChannels, channels - first), channels);
    kernels_.states->short_conv(conv, args.in + sequence.row * 3 * channels + first, 3 * channels, channels,
                                args.out + sequence.row * channels + first, channels);
  });
}

void CpuBackend::DeltaNet(const DeltaNetArgs& args) {
  const DeltaHeads& heads = args.heads;
  const int64_t parts = 2 * heads.key_heads + heads.value_heads + 1;
  pool_.ParallelFor(args.n_sequences * parts, [&](int64_t task, int) {
    PrepareDelta(args, args.sequences[task / parts], task % parts);
  });
  pool_.ParallelFor(args.n_sequences * heads.value_heads, [&](int64_t task, int) {
    RunDeltaHead(args, args.sequences[task / heads.value_heads], task % heads.value_heads);
  });
}

// A head of q, k or v, or behind them the gates.
void CpuBackend::PrepareDelta(const DeltaNetArgs& args, const SequenceSpan& sequence, int64_t part) const {
  const DeltaHeads& heads = args.heads;
  const int64_t keys = 2 * heads.key_heads, ld = heads.in_size();
  if (part == keys + heads.value_heads) {
    for (int64_t row = sequence.row; row < sequence.row + sequence.n_tokens; ++row) {
      kernels_.states->delta_gates(args.rate, args.dt_bias, heads.value_heads,
                                   args.gates + row * 2 * heads.value_heads);
    }
    return;
  }
  const bool is_key = part < keys;
  const int64_t dim = is_key ? heads.key_dim : heads.value_dim;
  const int64_t first = is_key ? part * dim : 2 * heads.key_size() + (part - keys) * dim;
  float* x = args.in + sequence.row * ld + first;
  kernels_.states->conv_silu(ConvOf(args.conv, args.states, sequence, first, dim, heads.conv_channels()), x,
                             ld);
  if (!is_key) return;
  const bool is_query = part < heads.key_heads;
  const float scale = is_query ? 1.0f / std::sqrt(static_cast<float>(dim)) : 1.0f;
  for (int64_t row = 0; row < sequence.n_tokens; ++row)
    kernels_.states->unit_length(x + row * ld, dim, scale);
}

void CpuBackend::RunDeltaHead(const DeltaNetArgs& args, const SequenceSpan& sequence, int64_t head) const {
  const DeltaHeads& heads = args.heads;
  const int64_t ld = heads.in_size(), key = heads.KeyHeadOf(head) * heads.key_dim,
                value = head * heads.value_dim;
  const int64_t at =
      (args.conv.taps - 1) * heads.conv_channels() + head * heads.key_dim * heads.padded_value_dim();
  const float* from = args.states.At(sequence.state);
  const float* in = args.in + sequence.row * ld;
  const float* gates = args.gates + sequence.row * 2 * heads.value_heads + head;
  float* out = args.out + sequence.row * heads.value_size() + value;
  kernels_.states->delta_rule({.rows = sequence.n_tokens,
                               .key_dim = heads.key_dim,
                               .value_dim = heads.value_dim,
                               .q = in + key,
                               .k = in + heads.key_size() + key,
                               .v = in + 2 * heads.key_size() + value,
                               .ld = ld,
                               .beta = gates,
                               .decay = gates + heads.value_heads,
                               .ld_gates = 2 * heads.value_heads,
                               .from = from == nullptr ? nullptr : from + at,
                               .to = args.states.At(sequence.next_state) + at,
                               .out = out,
                               .ld_out = heads.value_size()});
  const float* z = in + heads.conv_channels() + value;
  const RowNorm norm = {args.norm, nullptr, args.norm_eps};
  for (int64_t row = 0; row < sequence.n_tokens; ++row) {
    kernels_.states->gated_norm(z + row * ld, norm, heads.value_dim, out + row * heads.value_size());
  }
}

}  // namespace kvasir::cpu
