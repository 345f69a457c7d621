// The automaton over bytes that a grammar becomes: of each called rule a part of its own, in which other rules stand as
// calls. Long repetitions count: a state within one carries how often it must and may come again.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "grammar/ir.h"

namespace kvasir::grammar {

enum class Op : uint8_t {
  kBytes,  // one byte from low to high, then `next`
  kSplit,  // `next` or, where it is not -1, `other`
  kEnter,  // begins the counted loop `other`
  kLoop,   // a turn of the counted loop `other`, or its end
  kCall,   // the rule `other`, then `next`
  kFinal,  // the end of the rule
};

struct State {
  Op op;
  uint8_t low = 0, high = 0;
  int32_t next = -1, other = -1;
  // Least bytes from here to the end of the rule; within a counted loop to its next turn.
  uint32_t distance = 0;
  int32_t loop = -1;  // the counted loop around this state
};

struct Loop {
  uint32_t least, most;  // kUnbounded: no end
  uint32_t body_length;  // least bytes of a turn
  int32_t body = -1, exit = -1;
};

// A state and, within a counted loop, the turns that must and may still follow.
struct Config {
  int32_t state;
  uint32_t least = 0, most = 0;
  auto operator<=>(const Config&) const = default;
};

struct Automaton {
  std::vector<State> states;
  std::vector<Loop> loops;
  std::vector<int32_t> entries;        // [rules] -1: it is never called
  std::vector<uint32_t> rule_lengths;  // [rules] least bytes
  // Bytes that no state tells apart are one class.
  std::array<uint8_t, 256> class_of{};
  int classes = 1;
  std::array<uint8_t, 256> byte_of_class{};
  // Of the bytes that a state takes one is a token by itself, so that every shortest text can be spelled.
  bool spelled = true;

  // Least bytes to the end of the rule.
  uint32_t Distance(const Config& config) const {
    const State& state = states[static_cast<size_t>(config.state)];
    if (state.op == Op::kLoop) return AfterTurns(loops[static_cast<size_t>(state.other)], config.least);
    if (state.loop < 0) return state.distance;
    return AddDistance(state.distance, AfterTurns(loops[static_cast<size_t>(state.loop)], config.least));
  }
  uint32_t AfterTurns(const Loop& loop, uint32_t turns) const {
    return AddDistance(TimesDistance(turns, loop.body_length),
                       states[static_cast<size_t>(loop.exit)].distance);
  }
  void FindClasses();
};

// A deterministic automaton of a regular node: what intersections and differences are.
struct Dfa {
  struct Edge {
    uint8_t low, high;
    int32_t to;
  };
  std::vector<std::vector<Edge>> edges;  // [states] 0 is the start; from each the end can be reached
  std::vector<uint8_t> accepting;        // [states]
  std::vector<uint32_t> distance;        // [states] least bytes to an accepting one
  bool empty() const { return edges.empty(); }
};

// Builds parts of an automaton from a checked table.
class AutomatonBuilder {
 public:
  // `products` [nodes]: the automata of intersections and differences, the others empty. `called` [rules].
  AutomatonBuilder(const Ir& ir, const IrLengths& lengths, const std::vector<Dfa>& products,
                   const std::vector<uint8_t>& called);

  // All rules that rule 0 reaches by calls.
  Automaton BuildRules();
  // One regular node as rule 0, every rule copied in. Throws Error(kInvalidOption) where it is recursive.
  Automaton BuildNode(int32_t node);

 private:
  int32_t Build(int32_t node, int32_t next);
  int32_t Make(int32_t node, int32_t next);
  int32_t BuildChars(const IrNode& node, int32_t next);
  int32_t BuildChoice(const IrNode& node, int32_t next);
  int32_t BuildRepeat(const IrNode& node, int32_t next);
  int32_t BuildCounted(const IrNode& node, int32_t next);
  int32_t BuildRule(int32_t rule, int32_t next);
  int32_t BuildProduct(const Dfa& dfa, int32_t next);
  int32_t Add(State state);
  int32_t AddBytes(int low, int high, int32_t next);
  uint32_t DistanceFrom(int32_t state) const;
  int32_t Child(const IrNode& node, int32_t i) const { return ir_.lists[static_cast<size_t>(node.a + i)]; }

  const Ir& ir_;
  const IrLengths& lengths_;
  const std::vector<Dfa>& products_;
  const std::vector<uint8_t>& called_;
  std::vector<int32_t> pending_;  // rules that are called and not built
  Automaton out_;
  std::unordered_map<uint64_t, int32_t> built_;  // (node, next): the same part before the same state is one
  size_t made_ = 0;                              // states, those that were taken back too
  int depth_ = 0;
  int32_t loop_ = -1;        // the counted loop that is being built
  int32_t loop_state_ = -1;  // its kLoop
  bool copies_all_ = false;
};

}  // namespace kvasir::grammar
