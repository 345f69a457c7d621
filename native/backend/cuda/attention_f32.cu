// Full causal attention over a float cache; see attention_f32.cuh.
#include "backend/cuda/attention_f32.cuh"

namespace kvasir::cuda {

namespace {

// Two blocks a multiprocessor, where 128 registers are enough for it: with 4 rows they are not on sm_120.
template <typename Element, int kRows, bool kSplit>
__global__ void __launch_bounds__(kAttentionThreads, kRows < 4 ? 2 : 1) AttentionF32Tile(TileArgs a) {
  TileOfF32<Causal, Element, kRows, kSplit>(a);
}

template <typename Element, int kRows>
void LaunchRows(const TileArgs& args, bool split, cudaStream_t stream) {
  const LaunchConfig config = TileConfig(args, split, stream);
  if (split) {
    KVASIR_LAUNCH((AttentionF32Tile<Element, kRows, true>), config, args);
  } else {
    KVASIR_LAUNCH((AttentionF32Tile<Element, kRows, false>), config, args);
  }
}

template <typename Element>
void Launch(const TileArgs& args, bool split, cudaStream_t stream) {
  if (args.padded_head_dim <= 64) return LaunchRows<Element, 1>(args, split, stream);
  if (args.padded_head_dim <= 128) return LaunchRows<Element, 2>(args, split, stream);
  LaunchRows<Element, 4>(args, split, stream);
}

}  // namespace

void AttentionF32(const TileArgs& args, bool half, bool split, cudaStream_t stream) {
  if (half) {
    Launch<uint16_t>(args, split, stream);
  } else {
    Launch<float>(args, split, stream);
  }
}

}  // namespace kvasir::cuda
