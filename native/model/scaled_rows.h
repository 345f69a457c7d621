// Tensors of safetensors whose values are stored in few bits, with scales in a tensor beside them: FP8 with a scale for each
// block, row or tensor, and the packed 4-bit values of MXFP4. A value is one float32 product: stored value x scale. It
// refuses scales that do not fit, by name; which tensors have which scales is what a TensorSource says.
#pragma once

#include <cstdint>

#include "io/container.h"
#include "model/model_spec.h"

namespace kvasir {

// Whether the values of a source are not those of the container's tensor as it is.
bool HasScales(const TensorSource& source);

// The container's tensor with the shape of its values: bytes [..., columns / 32, 16] of packed ones are [..., columns].
// Throws Error(kModelFormat) for bytes of another shape.
TensorInfo ValuesOf(const TensorSource& source, const TensorInfo& stored);

// Throws Error(kModelFormat) when the scales are missing, are no numbers, or are not as many as the blocks.
void CheckScales(const Container& container, const TensorSource& source, const TensorInfo& values);

// Rows [first, first + rows) of a tensor whose scales were checked, as Container::ReadRows counts them, to out
// [rows, columns]. Thread-safe. Throws as Container::ReadRows does.
void ReadScaledRows(const Container& container, const TensorSource& source, const TensorInfo& values,
                    int64_t first, int64_t rows, float* out);

}  // namespace kvasir
