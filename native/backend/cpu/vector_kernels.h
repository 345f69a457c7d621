// The kernel on which a vector index ranks: INT8 vectors with a query of int16. Sums are exact, so all give the same.
// Apart from KernelTable: a model's step does not use it.
#pragma once

#include <cstdint>

#include "backend/cpu/kernel_table.h"

namespace kvasir::cpu {

constexpr int64_t kQueryAlignment = 64;  // bytes

// dots [rows] of vectors [rows, n] with query [n], which is aligned: n is a multiple of 32, and 128 * n times the query's
// largest value is below 2^31.
using DotVectors = void (*)(const int8_t* vectors, int64_t rows, const int16_t* query, int64_t n,
                            int32_t* dots);

void DotVectorsScalar(const int8_t* vectors, int64_t rows, const int16_t* query, int64_t n, int32_t* dots);
void DotVectorsAvx2(const int8_t* vectors, int64_t rows, const int16_t* query, int64_t n, int32_t* dots);
void DotVectorsAvx512(const int8_t* vectors, int64_t rows, const int16_t* query, int64_t n, int32_t* dots);
void DotVectorsNeon(const int8_t* vectors, int64_t rows, const int16_t* query, int64_t n, int32_t* dots);

// That of a table's instructions, as far as this CPU has them. With VNNI there is nothing to gain: memory is what it waits for.
DotVectors DotVectorsOf(const KernelTable& table);

}  // namespace kvasir::cpu
