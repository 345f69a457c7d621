// Twins of PTX's matrix and asynchronous copy instructions, for ptx.cuh. Which lane and register holds which element is
// as in the PTX ISA, "Warp-level matrix instructions"; test/native/cuda-fragments.test.ts compares it with CuTe's. An
// mma needs all 32 lanes. Refuses shapes and types that the kernels do not use.
#pragma once

#include <cstdint>

#include "shared_memory.h"

namespace cuda_emulation {

struct Coordinate {
  int row;
  int column;
};
// Element `i` (4 bytes a register, the low byte first; for the sums 1 a register) of a lane's fragment.
// m16n8k32: A is [16][32] with 16 elements a lane, B [32][8] (row = k) with 8, D [16][8] with 4.
Coordinate A16x32(int lane, int i);
Coordinate B32x8(int lane, int i);
Coordinate D16x8(int lane, int i);
// m8n8k16: A is [8][16] with 4 elements a lane, B [16][8] with 4, D [8][8] with 2.
Coordinate A8x16(int lane, int i);
Coordinate B16x8(int lane, int i);
Coordinate D8x8(int lane, int i);

// d += A B. B is signed; A is unsigned where it says so.
void Mma16x8x32(bool a_unsigned, int* d, const uint32_t* a, const uint32_t* b, Site site);
void Mma8x8x16(bool a_unsigned, int* d, const uint32_t* a, const uint32_t* b, Site site);

// cvt.f32.f16, which is exact.
float HalfToFloat(uint16_t half);
// cvt.rn.f16.f32: to the nearest, ties to even. NaN becomes 0x7fff.
uint16_t HalfFromFloat(float value);

// cp.async of 16 bytes: neither read nor written before the wait that covers it; zeros where `valid` is false.
void CopyAsync(const SharedArray* array, int64_t offset, const void* from, bool valid);
void CopyAsyncCommitGroup();
// Waits until at most `pending` of the newest groups are under way.
void CopyAsyncWaitGroup(int pending);

}  // namespace cuda_emulation
