// All kinds of attention over the INT8 cache: windows, soft cap, biases, sinks; see attention_s8.cuh.
#include "backend/cuda/attention_s8.cuh"

namespace kvasir::cuda {

namespace {

// One block a multiprocessor: what the policy needs in registers is not kept short.
template <int kSteps, bool kSplit>
__global__ void __launch_bounds__(kAttentionThreads, 1) AttentionKindsS8Tile(TileArgs a) {
  TileOfS8<Kinds, kSteps, kSplit>(a);
}

template <int kSteps>
void Launch(const TileArgs& args, bool split, const LaunchConfig& config) {
  if (split) {
    KVASIR_LAUNCH((AttentionKindsS8Tile<kSteps, true>), config, args);
  } else {
    KVASIR_LAUNCH((AttentionKindsS8Tile<kSteps, false>), config, args);
  }
}

}  // namespace

void AttentionKindsS8(const TileArgs& args, bool split, cudaStream_t stream) {
  const LaunchConfig config = TileConfig(args, split, stream);
  switch ((args.padded_head_dim + kGroup - 1) / kGroup) {
    case 1: return Launch<1>(args, split, config);
    case 2: return Launch<2>(args, split, config);
    case 3: return Launch<3>(args, split, config);
    default: return Launch<4>(args, split, config);
  }
}

}  // namespace kvasir::cuda
