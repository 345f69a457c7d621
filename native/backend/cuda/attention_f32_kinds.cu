// All kinds of attention over a float cache: windows, soft cap, biases, sinks; see attention_f32.cuh.
#include "backend/cuda/attention_f32.cuh"

namespace kvasir::cuda {

namespace {

// One block a multiprocessor: what the policy needs in registers is not kept short.
template <typename Element, int kRows, bool kSplit>
__global__ void __launch_bounds__(kAttentionThreads, 1) AttentionKindsF32Tile(TileArgs a) {
  TileOfF32<Kinds, Element, kRows, kSplit>(a);
}

template <typename Element, int kRows>
void LaunchRows(const TileArgs& args, bool split, cudaStream_t stream) {
  const LaunchConfig config = TileConfig(args, split, stream);
  if (split) {
    KVASIR_LAUNCH((AttentionKindsF32Tile<Element, kRows, true>), config, args);
  } else {
    KVASIR_LAUNCH((AttentionKindsF32Tile<Element, kRows, false>), config, args);
  }
}

template <typename Element>
void Launch(const TileArgs& args, bool split, cudaStream_t stream) {
  if (args.padded_head_dim <= 64) return LaunchRows<Element, 1>(args, split, stream);
  if (args.padded_head_dim <= 128) return LaunchRows<Element, 2>(args, split, stream);
  LaunchRows<Element, 4>(args, split, stream);
}

}  // namespace

void AttentionKindsF32(const TileArgs& args, bool half, bool split, cudaStream_t stream) {
  if (half) {
    Launch<uint16_t>(args, split, stream);
  } else {
    Launch<float>(args, split, stream);
  }
}

}  // namespace kvasir::cuda
