// Which kernel a linear gets. Every choice gives the same bits.
#include <cstdint>

#include "backend/cuda/launch.h"
#include "backend/cuda/linear_f32.h"
#include "backend/cuda/linear_s8.h"

namespace kvasir::cuda {

namespace {

// Of the running device, asked once: a process has one kind.
int64_t Multiprocessors() {
  static const int count = [] {
    int device = 0, value = 0;
    Check(cudaGetDevice(&device), "cudaGetDevice");
    Check(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
    return value;
  }();
  return count;
}

// The largest tile that gives each multiprocessor a block. Larger tiles read x and w less often; too few of them leave
// multiprocessors idle. Where even 32 x 32 tiles are too few, GemmThinS8 has 16 x 16, whose warps share k.
void LinearS8(const LinearS8Args& args, cudaStream_t stream) {
  if (args.rows <= kGemvRows) return GemvS8(args, stream);
  const int64_t wanted = Multiprocessors();
  const auto blocks = [&](int64_t rows, int64_t columns) {
    return CeilDiv(args.rows, rows) * CeilDiv(args.n, columns);
  };
  if (args.rows <= kThinRows || blocks(32, 32) < wanted) return GemmThinS8(args, stream);
  if (args.rows > 64 && blocks(128, 64) >= wanted) return GemmS8(GemmTile::k128x64, args, stream);
  if (args.rows > 32 && blocks(64, 64) >= wanted) return GemmS8(GemmTile::k64x64, args, stream);
  GemmS8(GemmTile::k32x32, args, stream);
}

}  // namespace

void Linear(const LinearWeight& weight, const Activations& x, int64_t rows, float* out, int64_t ld_out,
            bool accumulate, cudaStream_t stream) {
  if (rows == 0 || weight.n == 0) return;
  if (weight.dtype == Dtype::kF32) {
    LinearF32({.panels = static_cast<const float*>(weight.panels),
               .x = x.f32,
               .rows = rows,
               .k = weight.k,
               .bias = weight.bias,
               .out = out,
               .ld_out = ld_out,
               .n = weight.n,
               .accumulate = accumulate},
              stream);
    return;
  }
  LinearS8({.w = Int8LinearOf(weight),
            .x = static_cast<const int8_t*>(x.values),
            .scales = x.scales,
            .rows = rows,
            .bias = weight.bias,
            .out = out,
            .ld_out = ld_out,
            .n = weight.n,
            .accumulate = accumulate},
           stream);
}

}  // namespace kvasir::cuda
