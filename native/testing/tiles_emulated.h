// The tile registers of native/backend/cpu/tiles_amx.h in plain C++, one set a thread, for machines that have none. Included
// by kernels_amx.cc inside its namespace. Outside of EnterTiles and LeaveTiles the processor faults: here products are then
// sums that no test expects.

struct EmulatedTiles {
  bool entered = false;
  uint8_t bytes[8][16][64];
};
inline EmulatedTiles& Tiles() {
  static thread_local EmulatedTiles tiles;
  return tiles;
}

inline void EnterTiles() {
  Tiles().entered = true;
  __builtin_memset(Tiles().bytes, 0, sizeof(Tiles().bytes));
}
inline void LeaveTiles() { Tiles().entered = false; }

template <int kTile>
inline void ZeroTile() {
  __builtin_memset(Tiles().bytes[kTile], 0, sizeof(Tiles().bytes[kTile]));
}
template <int kTile>
inline void LoadTile(const void* from, int64_t stride) {
  for (int row = 0; row < 16; ++row) {
    __builtin_memcpy(Tiles().bytes[kTile][row], static_cast<const uint8_t*>(from) + row * stride, 64);
  }
}
template <int kTile>
inline void LoadTileOnce(const void* from, int64_t stride) {
  LoadTile<kTile>(from, stride);
}
template <int kTile>
inline void StoreTileTo(void* to, int64_t stride) {
  for (int row = 0; row < 16; ++row) {
    __builtin_memcpy(static_cast<uint8_t*>(to) + row * stride, Tiles().bytes[kTile][row], 64);
  }
}
template <int kSums, int kA, int kB, typename Left, typename Right>
inline void DotEmulated() {
  EmulatedTiles& tiles = Tiles();
  if (!tiles.entered) __builtin_memset(tiles.bytes[kA], 0x55, sizeof(tiles.bytes[kA]));
  int16_t right[64][16];  // [k][column]
  for (int k = 0; k < 64; ++k) {
    for (int column = 0; column < 16; ++column) {
      right[k][column] = static_cast<Right>(tiles.bytes[kB][k / 4][4 * column + k % 4]);
    }
  }
  for (int row = 0; row < 16; ++row) {
    int32_t sums[16];
    __builtin_memcpy(sums, tiles.bytes[kSums][row], sizeof(sums));
    for (int k = 0; k < 64; ++k) {
      const int16_t left = static_cast<Left>(tiles.bytes[kA][row][k]);
      for (int column = 0; column < 16; ++column) sums[column] += int32_t{left} * int32_t{right[k][column]};
    }
    __builtin_memcpy(tiles.bytes[kSums][row], sums, sizeof(sums));
  }
}
template <int kSums, int kA, int kB>
inline void DotTiles() {
  DotEmulated<kSums, kA, kB, int8_t, int8_t>();
}
template <int kSums, int kA, int kB>
inline void DotTilesUnsigned() {
  DotEmulated<kSums, kA, kB, int8_t, uint8_t>();
}
template <int kSums, int kA, int kB>
inline void DotUnsignedTiles() {
  DotEmulated<kSums, kA, kB, uint8_t, int8_t>();
}
