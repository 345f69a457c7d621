// The rows of a step sorted by the experts that they use, experts ascending, rows ascending within one.
#pragma once

#include <cstdint>

namespace kvasir {

struct ExpertOrder {
  int32_t* first;   // [n_experts + 1] place of an expert's first row
  int32_t* rows;    // [rows * used] by place
  int32_t* places;  // [rows * used] of a row's experts, in the order of ranks
};

// ids [rows, used] in [0, n_experts).
inline void SortByExpert(const int32_t* ids, int64_t rows, int64_t used, int64_t n_experts,
                         const ExpertOrder& order) {
  for (int64_t e = 0; e <= n_experts; ++e) order.first[e] = 0;
  for (int64_t i = 0; i < rows * used; ++i) ++order.first[ids[i] + 1];
  for (int64_t e = 0; e < n_experts; ++e) order.first[e + 1] += order.first[e];
  for (int64_t i = 0; i < rows * used; ++i) {
    const int32_t place = order.first[ids[i]]++;
    order.rows[place] = static_cast<int32_t>(i / used);
    order.places[i] = place;
  }
  // Each expert's beginning has moved to its end.
  for (int64_t e = n_experts; e > 0; --e) order.first[e] = order.first[e - 1];
  order.first[0] = 0;
}

}  // namespace kvasir
