// Moving rows: embedding, additions, gathering, the rotation of heads, and repacking weights once at load.
#include "backend/cuda/flat.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/ptx.cuh"
#include "backend/cuda/rotate.cuh"

namespace kvasir::cuda {

namespace {

// Half a warp a group of 64.
LaunchConfig Groups(int64_t groups, cudaStream_t stream) { return Flat(groups * kGroupLanes, stream); }

// A panel's scales of columns c and c + 8 lie side by side.
__device__ __forceinline__ int ScalePlace(int column) { return column % 8 * 2 + column / 8; }

// A thread makes the 16 bytes of one lane from two words of two columns.
__global__ void RepackWeights(const Int8Block* blocks, int64_t n_blocks, int64_t groups, int8_t* out) {
  constexpr int kVectors = kPanel * kGroup / 16;  // of a panel's group: [2 halves][8 columns][4 quarters]
  constexpr int kPanels = kPanelColumns / kPanel;
  for (int64_t i = FlatThread(); i < n_blocks * kPanels * kVectors; i += FlatThreads()) {
    const int quarter = static_cast<int>(i % 4), column = static_cast<int>(i / 4 % 8);
    const int half = static_cast<int>(i / 32 % 2), of_block = static_cast<int>(i / kVectors % kPanels);
    const int64_t block = i / (kPanels * kVectors);
    const int64_t panel = block / groups * kPanels + of_block, group = block % groups;
    const uint32_t* words = reinterpret_cast<const uint32_t*>(blocks[block].weights) +
                            (4 * quarter + 2 * half) * kPanelColumns + of_block * kPanel + column;
    // Taking 128 from an offset weight turns its sign bit.
    constexpr uint32_t kSigns = 0x80808080u;
    reinterpret_cast<uint4*>(out)[(panel * groups + group) * kVectors + i % kVectors] =
        make_uint4(words[0] ^ kSigns, words[8] ^ kSigns, words[kPanelColumns] ^ kSigns,
                   words[kPanelColumns + 8] ^ kSigns);
  }
}

__global__ void RepackScales(const Int8Block* blocks, int64_t n_blocks, int64_t groups, uint16_t* out) {
  for (int64_t i = FlatThread(); i < n_blocks * kPanelColumns; i += FlatThreads()) {
    const int column = static_cast<int>(i % kPanelColumns);
    const int64_t block = i / kPanelColumns;
    const int64_t panel = block / groups * (kPanelColumns / kPanel) + column / kPanel, group = block % groups;
    out[(panel * groups + group) * kPanel + ScalePlace(column % kPanel)] = blocks[block].scales[column];
  }
}

__global__ void EmbedS8(Int8Linear table, const int32_t* ids, int64_t rows, int64_t k, float* x) {
  const int lane = static_cast<int>(threadIdx.x % kGroupLanes);
  const int64_t last = rows * table.groups;
  // All lanes of a warp take part in the rotation: its last group may be missing.
  for (int64_t i = FlatThread(); i / 32 * 2 < last; i += FlatThreads()) {
    const bool valid = i / kGroupLanes < last;
    const int64_t at = valid ? i / kGroupLanes : 0;
    const int64_t row = at / table.groups, group = at % table.groups;
    const int32_t id = ids[row];
    const int64_t panel_group = id / kPanel * table.groups + group;
    const int column = id % kPanel, half = lane / 2 % 2, quarter = lane / 4;
    // Values 4 lane .. 4 lane + 3: see Int8Linear.
    const int at_word = ((half * 8 + column % 8) * 4 + quarter) * 4 + lane % 2 * 2 + column / 8;
    const int word = reinterpret_cast<const int*>(table.weights + panel_group * kPanel * kGroup)[at_word];
    const float scale = HalfToFloat(table.scales[panel_group * kPanel + ScalePlace(column)]);
    float v[4];
#pragma unroll
    for (int j = 0; j < 4; ++j)
      v[j] = __fmul_rn(static_cast<float>(static_cast<int8_t>(word >> (8 * j))), scale);
    RotateSums(v, lane, kGroup);
#pragma unroll
    for (float& value : v) value = __fmul_rn(value, kRotationNorm);
    const int64_t first = group * kGroup + 4 * lane;
    if (valid) StoreQuad(x + row * k + first, k - first, v);
  }
}

__global__ void EmbedF32(const float* table, const int32_t* ids, int64_t rows, int64_t k, float* x) {
  for (int64_t i = FlatThread(); i < rows * k; i += FlatThreads()) {
    const int32_t id = ids[i / k];
    x[i] = table[(id / kPanelColumns * k + i % k) * kPanelColumns + id % kPanelColumns];
  }
}

__global__ void AddRowsKernel(const float* table, const int32_t* positions, int64_t rows, int64_t width,
                              float* x) {
  for (int64_t i = FlatThread(); i < rows * width; i += FlatThreads()) {
    x[i] = __fadd_rn(x[i], table[positions[i / width] * width + i % width]);
  }
}

__global__ void GatherRowsKernel(const float* x, const int32_t* indices, int64_t n, int64_t width,
                                 float* out) {
  for (int64_t i = FlatThread(); i < n * width; i += FlatThreads()) {
    out[i] = x[indices[i / width] * width + i % width];
  }
}

// `norm` is 1 / sqrt(block). What is left of a row after its last whole block stays as it is.
__global__ void RotateRows(float* x, int64_t rows, int64_t width, int block, float norm) {
  const int lane = static_cast<int>(threadIdx.x % kGroupLanes);
  const int64_t groups = (width + kGroup - 1) / kGroup, whole = width / block * block;
  for (int64_t i = FlatThread(); i / 32 * 2 < rows * groups; i += FlatThreads()) {
    const int64_t row = i / kGroupLanes / groups, first = i / kGroupLanes % groups * kGroup + 4 * lane;
    const int64_t left = row < rows ? whole - first : 0;
    float* at = x + (left > 0 ? row * width + first : 0);
    float v[4];
    LoadQuad(at, left, v);
    RotateSums(v, lane, block);
#pragma unroll
    for (float& value : v) value = __fmul_rn(value, norm);
    StoreQuad(at, left, v);
  }
}

}  // namespace

void RepackInt8(const Int8Block* blocks, int64_t first, int64_t count, const LinearWeight& own,
                cudaStream_t stream) {
  const Int8Linear packed = Int8LinearOf(own);
  const int64_t n_blocks = count * packed.groups, offset = first * packed.groups * kPanelColumns;
  if (n_blocks == 0) return;
  KVASIR_LAUNCH(RepackWeights, Flat(n_blocks * (kPanelColumns * kGroup / 16), stream), blocks, n_blocks,
                packed.groups, const_cast<int8_t*>(packed.weights) + offset * kGroup);
  KVASIR_LAUNCH(RepackScales, Flat(n_blocks * kPanelColumns, stream), blocks, n_blocks, packed.groups,
                const_cast<uint16_t*>(packed.scales) + offset);
}

void Embed(const LinearWeight& table, const int32_t* ids, int64_t rows, float* x, cudaStream_t stream) {
  if (rows == 0) return;
  if (table.dtype == Dtype::kF32) {
    KVASIR_LAUNCH(EmbedF32, Flat(rows * table.k, stream), static_cast<const float*>(table.panels), ids, rows,
                  table.k, x);
    return;
  }
  const Int8Linear packed = Int8LinearOf(table);
  KVASIR_LAUNCH(EmbedS8, Groups(rows * packed.groups, stream), packed, ids, rows, table.k, x);
}

void AddRows(const float* table, const int32_t* positions, int64_t rows, int64_t width, float* x,
             cudaStream_t stream) {
  if (rows == 0) return;
  KVASIR_LAUNCH(AddRowsKernel, Flat(rows * width, stream), table, positions, rows, width, x);
}

void GatherRows(const float* x, const int32_t* indices, int64_t n, int64_t width, float* out,
                cudaStream_t stream) {
  if (n == 0) return;
  KVASIR_LAUNCH(GatherRowsKernel, Flat(n * width, stream), x, indices, n, width, out);
}

void RotateBlocks(float* x, int64_t rows, int64_t width, int block, cudaStream_t stream) {
  if (rows == 0 || width < block) return;
  const float norm = 1.0f / __builtin_sqrtf(static_cast<float>(block));
  KVASIR_LAUNCH(RotateRows, Groups(rows * ((width + kGroup - 1) / kGroup), stream), x, rows, width, block,
                norm);
}

}  // namespace kvasir::cuda
