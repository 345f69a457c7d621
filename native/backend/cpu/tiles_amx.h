// Intel's tile registers (AMX-TILE, AMX-INT8): eight, of 16 rows of 64 bytes each. Included by kernels_amx.cc inside its
// namespace. Each instruction is written here and nowhere else; native/testing/tiles_emulated.h has the same names in C++.
// Assembly, because then the file needs no compiler that knows them.

// How all eight are divided (Intel SDM, LDTILECFG): palette 1, 16 rows of 64 bytes.
struct alignas(64) TileShapes {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// About 0.07 us; a thread's first one traps, and the system finds room for its tiles.
inline void EnterTiles() {
  static constexpr TileShapes kShapes;
  asm volatile("ldtilecfg %0" : : "m"(kShapes));
}
// Empty tiles need not be saved when the thread is switched.
inline void LeaveTiles() { asm volatile("tilerelease"); }

template <int kTile>
inline void ZeroTile() {
  asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
// 16 rows of 64 bytes, `stride` bytes apart.
template <int kTile>
inline void LoadTile(const void* from, int64_t stride) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(kTile), "r"(from), "r"(stride) : "memory");
}
// The same with the hint that it is not read again soon.
template <int kTile>
inline void LoadTileOnce(const void* from, int64_t stride) {
  asm volatile("tileloaddt1 (%1,%2,1), %%tmm%c0" : : "i"(kTile), "r"(from), "r"(stride) : "memory");
}
template <int kTile>
inline void StoreTileTo(void* to, int64_t stride) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(kTile), "r"(to), "r"(stride) : "memory");
}
// sums [16 rows][16 columns] += a [16 rows][64 k] x b [16 quads of k][16 columns][4], all int8.
template <int kSums, int kA, int kB>
inline void DotTiles() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kA), "i"(kB));
}
// The same of unsigned b, and of unsigned a.
template <int kSums, int kA, int kB>
inline void DotTilesUnsigned() {
  asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kA), "i"(kB));
}
template <int kSums, int kA, int kB>
inline void DotUnsignedTiles() {
  asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kA), "i"(kB));
}
