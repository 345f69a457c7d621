// A grammar as it crosses the border: a table of nodes in which children stand before their parents.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "grammar/limits.h"

namespace kvasir::grammar {

enum class IrOp : int32_t {
  kLiteral,    // a: first byte in `bytes`, b: how many
  kChars,      // a: first in `lists`, b: how many ranges, each two code points (first, last)
  kSequence,   // a: first in `lists`, b: how many children
  kChoice,     // the same; without children it matches nothing
  kRepeat,     // a: child, b: least, c: most or -1
  kRule,       // a: which
  kIntersect,  // a: first in `lists`, b: how many children, all regular
  kSubtract,   // a: what, b: without what, both regular
};

struct IrNode {
  IrOp op;
  int32_t a, b, c;
};

struct Ir {
  std::vector<IrNode> nodes;
  std::vector<int32_t> lists;
  std::string bytes;
  std::vector<int32_t> rules;  // [rules] the node of each; rule 0 is the whole
  std::vector<uint8_t>
      shared;  // [rules] 1: called, never copied into its callers, so that masks within it are shared
};

// The least bytes that each node takes; kFar: it matches nothing.
struct IrLengths {
  std::vector<uint32_t> nodes;
  std::vector<uint32_t> rules;
};

// Throws Error(kInvalidOption) for a table that is none: indices, code points and counts out of range.
void CheckIr(const Ir& ir);

// `products` [nodes]: the lengths of intersections and differences.
IrLengths MeasureIr(const Ir& ir, const std::vector<uint32_t>& products);

// [rules] 1: it is called, by itself through others or by the caller's wish.
std::vector<uint8_t> CalledRules(const Ir& ir);

// Throws Error(kInvalidOption): a rule that begins with itself.
void CheckLeftRecursion(const Ir& ir, const IrLengths& lengths);

}  // namespace kvasir::grammar
