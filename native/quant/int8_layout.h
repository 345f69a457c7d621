// What a stored INT8 value means, as constants and plain structs only: kernel files built with special flags include it.
//
// A linear y = x W^T with x [rows, k], W [n, k] is computed as (x H)(W H)^T: both sides are rotated along k by an
// orthonormal Hadamard matrix H of order 64 (block diagonal; k is padded with zeros to a multiple of 64), which spreads
// outliers (QuaRot, arXiv:2404.00456, section 3). Each group of 64 rotated values has one scale: amax / 127, binary16
// for weights and float32 for activations. y = sum over groups g ascending of float(int32 dot of g) * (scale_x * scale_w).
#pragma once

#include <cstdint>

namespace kvasir {

constexpr int kGroup = 64;         // values along k that share a scale, and the order of the rotation
constexpr int kPanelColumns = 32;  // output columns that are packed together
constexpr int kWeightOffset =
    128;  // a weight q in [-127, 127] is stored as q + 128: dot products are u8 x s8

// One group of one panel: 2,112 bytes, so a panel streams in order, scales included.
struct Int8Block {
  uint8_t weights[kGroup / 4][kPanelColumns][4];  // [k / 4][column][k % 4]
  uint16_t scales[kPanelColumns];                 // binary16
};
static_assert(sizeof(Int8Block) == 2112, "blocks follow each other without padding");

}  // namespace kvasir
