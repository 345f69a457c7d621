// What the ops of a layer that differ between families are told beside their rows: which of the forms it is, with its
// numbers. Plain structs; they know no graph. Whether the numbers fit each other is checked where a model is loaded.
#pragma once

#include "backend/types.h"

namespace kvasir {

// The numbers are those of kClampedSwiglu: (u + 1) g sigmoid(alpha g), g = min(gate, limit), u = up within +-limit.
struct ActivationForm {
  ActivationKind kind = ActivationKind::kSilu;
  float alpha = 1.702f;
  float limit = 7.0f;

  ActivationForm() = default;
  ActivationForm(ActivationKind a_kind) : kind(a_kind) {}
  ActivationForm(ActivationKind a_kind, float an_alpha, float a_limit)
      : kind(a_kind), alpha(an_alpha), limit(a_limit) {}
};

// How what a block computed, y, joins the residual stream x.
enum class JoinForm {
  kNormThenAdd,  // x += scale * norm(y)
  kAdd,          // x += scale * y
  kAddThenNorm,  // x = norm(x + y); without y (nullptr) x = norm(x). `scale` is not read.
};
struct AddNormForm {
  JoinForm join = JoinForm::kAdd;
  float scale = 1;
  const NormWeight* norm = nullptr;  // of kNormThenAdd and kAddThenNorm
};

// x *= scale, then, where cap > 0, x = cap * tanh(x / cap).
struct Scaling {
  float scale = 1;
  float cap = 0;
};

// Multiplies what attention gave by sigmoid(values). Blocks of `rotation` values come rotated (AttentionShape::rotation)
// and are turned back first: Ops::Prepare is told 1 afterwards.
struct OutputGate {
  const float* values = nullptr;  // [rows, ld]
  int64_t ld = 0;
  int rotation = 1;
};

// One factor a row: values[i], or sigmoid(values[i]).
struct RowFactors {
  const float* values = nullptr;  // [rows]
  bool sigmoid = false;
};

// Feed-forward layers of which each row uses some: one linear of each kind an expert, biases where they have them.
struct ExpertsForm {
  const LinearWeight* gate_up = nullptr;  // [n_experts] of [2 * size, hidden], or of up alone [size, hidden]
  const LinearWeight* down = nullptr;     // [n_experts] of [hidden, size]
  int64_t n_experts = 0;
  int64_t used = 0;  // by a row
  int64_t hidden = 0;
  int64_t size = 0;
  ActivationForm activation;
};

// What Ops::Route gave, and where the sum goes.
struct RoutedRows {
  const int32_t* ids = nullptr;    // [rows, used], distinct in a row
  const float* weights = nullptr;  // [rows, used]
  bool accumulate = false;         // onto what is there
};

}  // namespace kvasir
