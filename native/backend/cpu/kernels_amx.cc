// The amx kernel table: avx512vnni, but that products of many rows run on tile registers.
//
// With KVASIR_TILES defined (tests) it has those tiles, which are emulated, over the scalar lanes.
#ifdef KVASIR_TILES
#include <cmath>

#include "core/half.h"
#else
#include <immintrin.h>
#endif

#include <cstdint>

#include "backend/cpu/kernel_table.h"

#ifdef KVASIR_TILES
#define KVASIR_AMX isa_amx_emulated
#define KVASIR_AMX_KERNELS AmxKernelsEmulated
#define KVASIR_AMX_KINDS kScalarKinds
#define KVASIR_AMX_STATES kScalarStates
#define KVASIR_SIMD "backend/cpu/simd_scalar.h"
#else
#define KVASIR_AMX isa_amx
#define KVASIR_AMX_KERNELS AmxKernels
#define KVASIR_AMX_KINDS kAvx512VnniKinds
#define KVASIR_AMX_STATES kAvx512VnniStates
#define KVASIR_SIMD_VNNI
#define KVASIR_SIMD "backend/cpu/simd_avx512.h"
#define KVASIR_TILES "backend/cpu/tiles_amx.h"
#endif
#define KVASIR_ROW_TILE 16

namespace kvasir::cpu {
namespace KVASIR_AMX {

#include "backend/cpu/ops_table.h"
#include KVASIR_TILES
#include "backend/cpu/linear_s8_amx.h"
//
#include "backend/cpu/attention_s8_amx.h"

// A block of rows reads all weights, and is done with them twice as soon as without tiles; each panel that it meets is made
// signed first.
constexpr int kTileBlockRows = 128, kTileThreadRows = 64;

constexpr KernelTable MakeTileTable() {
  KernelTable table = MakeTable("amx", KVASIR_AMX_KINDS, KVASIR_AMX_STATES, LinearS8Tiles);
  table.block_rows = kTileBlockRows;
  table.thread_rows = kTileThreadRows;
  table.activated_rows = 2 * kTileBlockRows;
  table.attention_chunk_s8 = AttentionChunkS8Tiles;
  table.enter_rows = kRowTile;
  table.enter = EnterTiles;
  table.leave = LeaveTiles;
  return table;
}

}  // namespace KVASIR_AMX

const KernelTable& KVASIR_AMX_KERNELS() {
  static constexpr KernelTable table = KVASIR_AMX::MakeTileTable();
  return table;
}

}  // namespace kvasir::cpu
