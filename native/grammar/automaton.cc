// From nodes to states, from the back: each part is built onto the state that follows it, so that nothing is patched and
// the distance to the end is known at once. What matches nothing is left out, so from every state the end can be reached.
#include "grammar/automaton.h"

#include <algorithm>
#include <map>

#include "core/error.h"

namespace kvasir::grammar {

namespace {

constexpr uint32_t kCopiedTurns = 4;    // repetitions up to here are copied whatever they repeat
constexpr uint32_t kCopiedStates = 64;  // and as long as the copies stay about this small

struct Utf8Range {
  int count;
  uint8_t low[4], high[4];
};

int Encode(uint32_t c, uint8_t* out) {
  if (c < 0x80) {
    out[0] = static_cast<uint8_t>(c);
    return 1;
  }
  const int count = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  static constexpr uint8_t kLead[] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (int i = count - 1; i > 0; --i, c >>= 6) out[i] = static_cast<uint8_t>(0x80 | (c & 0x3F));
  out[0] = static_cast<uint8_t>(kLead[count] | c);
  return count;
}

// [first, last] as ranges of sequences of equal length in which every byte varies freely.
void SplitUtf8(uint32_t first, uint32_t last, std::vector<Utf8Range>& out) {
  static constexpr uint32_t kLimits[] = {0x7F, 0x7FF, 0xD7FF, 0xDFFF, 0xFFFF, 0x10FFFF};
  for (const uint32_t limit : kLimits) {
    if (first > limit) continue;
    if (first > last) return;
    if (limit == 0xDFFF) {  // surrogates have no UTF-8
      first = 0xE000;
      continue;
    }
    const uint32_t end = std::min(last, limit);
    while (first <= end) {
      // The longest run from `first` whose lower bytes are full: of 64^k code points.
      uint32_t run = 1;
      while (first % (run * 64) == 0 && first + run * 64 - 1 <= end && end > 0x7F) run *= 64;
      // All aligned runs of this size within the next higher byte.
      const uint32_t above = end > 0x7F ? run * 64 : 0x80;
      const uint32_t stop = std::min(end, first - first % above + above - 1);
      const uint32_t runs = (stop - first + 1) / run;
      Utf8Range range{};
      range.count = Encode(first, range.low);
      Encode(first + runs * run - 1, range.high);
      out.push_back(range);
      first += runs * run;
    }
  }
}

}  // namespace

void Automaton::FindClasses() {
  std::array<bool, 257> starts{};
  for (const State& state : states) {
    if (state.op != Op::kBytes) continue;
    starts[state.low] = true;
    starts[static_cast<size_t>(state.high) + 1] = true;
  }
  int current = 0;
  byte_of_class[0] = 0;
  for (int byte = 0; byte < 256; ++byte) {
    if (byte > 0 && starts[static_cast<size_t>(byte)])
      byte_of_class[static_cast<size_t>(++current)] = static_cast<uint8_t>(byte);
    class_of[static_cast<size_t>(byte)] = static_cast<uint8_t>(current);
  }
  classes = current + 1;
}

AutomatonBuilder::AutomatonBuilder(const Ir& ir, const IrLengths& lengths, const std::vector<Dfa>& products,
                                   const std::vector<uint8_t>& called)
    : ir_(ir), lengths_(lengths), products_(products), called_(called) {}

Automaton AutomatonBuilder::BuildRules() {
  out_.entries.assign(ir_.rules.size(), -1);
  out_.rule_lengths = lengths_.rules;
  pending_.push_back(0);
  while (!pending_.empty()) {
    const auto rule = static_cast<size_t>(pending_.back());
    pending_.pop_back();
    if (out_.entries[rule] >= 0) continue;
    const int32_t final = Add({.op = Op::kFinal});
    out_.entries[rule] = Build(ir_.rules[rule], final);
  }
  out_.FindClasses();
  return std::move(out_);
}

Automaton AutomatonBuilder::BuildNode(int32_t node) {
  copies_all_ = true;
  out_.rule_lengths = {lengths_.nodes[static_cast<size_t>(node)]};
  const int32_t final = Add({.op = Op::kFinal});
  out_.entries.push_back(Build(node, final));
  out_.FindClasses();
  return std::move(out_);
}

int32_t AutomatonBuilder::Add(State state) {
  if (++made_ > kMostStates) throw LimitError("The grammar becomes more than 400,000 states");
  state.loop = loop_;
  out_.states.push_back(state);
  return static_cast<int32_t>(out_.states.size()) - 1;
}

uint32_t AutomatonBuilder::DistanceFrom(int32_t state) const {
  return state == loop_state_ ? 0 : out_.states[static_cast<size_t>(state)].distance;
}

int32_t AutomatonBuilder::AddBytes(int low, int high, int32_t next) {
  return Add({.op = Op::kBytes,
              .low = static_cast<uint8_t>(low),
              .high = static_cast<uint8_t>(high),
              .next = next,
              .distance = AddDistance(1, DistanceFrom(next))});
}

int32_t AutomatonBuilder::Build(int32_t index, int32_t next) {
  const uint64_t key = uint64_t{static_cast<uint32_t>(index)} << 32 | static_cast<uint32_t>(next);
  if (const auto known = built_.find(key); known != built_.end()) return known->second;
  if (++depth_ > kDeepestIr) throw LimitError("The grammar is nested more than 2,000 deep");
  const int32_t start = Make(index, next);
  --depth_;
  built_[key] = start;
  return start;
}

int32_t AutomatonBuilder::Make(int32_t index, int32_t next) {
  const IrNode& node = ir_.nodes[static_cast<size_t>(index)];
  int32_t start = next;
  switch (node.op) {
    case IrOp::kLiteral:
      for (int32_t i = node.b - 1; i >= 0; --i) {
        const auto byte = static_cast<uint8_t>(ir_.bytes[static_cast<size_t>(node.a + i)]);
        start = AddBytes(byte, byte, start);
      }
      break;
    case IrOp::kChars: start = BuildChars(node, next); break;
    case IrOp::kSequence:
      for (int32_t i = node.b - 1; i >= 0; --i) start = Build(Child(node, i), start);
      break;
    case IrOp::kChoice: start = BuildChoice(node, next); break;
    case IrOp::kRepeat: start = BuildRepeat(node, next); break;
    case IrOp::kRule: start = BuildRule(node.a, next); break;
    case IrOp::kIntersect:
    case IrOp::kSubtract: start = BuildProduct(products_[static_cast<size_t>(index)], next); break;
  }
  return start;
}

// Sequences that end alike share their ends.
int32_t AutomatonBuilder::BuildChars(const IrNode& node, int32_t next) {
  std::vector<Utf8Range> ranges;
  for (int32_t i = 0; i < node.b; ++i) {
    SplitUtf8(static_cast<uint32_t>(ir_.lists[static_cast<size_t>(node.a + 2 * i)]),
              static_cast<uint32_t>(ir_.lists[static_cast<size_t>(node.a + 2 * i + 1)]), ranges);
  }
  std::map<std::array<int32_t, 3>, int32_t> known;
  int32_t all = -1;
  for (auto range = ranges.rbegin(); range != ranges.rend(); ++range) {
    int32_t state = next;
    for (int i = range->count - 1; i >= 0; --i) {
      int32_t& made = known.try_emplace({range->low[i], range->high[i], state}, -1).first->second;
      if (made < 0) made = AddBytes(range->low[i], range->high[i], state);
      state = made;
    }
    if (all < 0) {
      all = state;
    } else {
      const uint32_t distance = std::min(DistanceFrom(state), DistanceFrom(all));
      all = Add({.op = Op::kSplit, .next = state, .other = all, .distance = distance});
    }
  }
  if (all < 0) throw Error(ErrorCode::kInternal, "A class without characters is left in a grammar");
  return all;
}

int32_t AutomatonBuilder::BuildChoice(const IrNode& node, int32_t next) {
  int32_t all = -1;
  for (int32_t i = node.b - 1; i >= 0; --i) {
    if (lengths_.nodes[static_cast<size_t>(Child(node, i))] >= kFar) continue;
    const int32_t one = Build(Child(node, i), next);
    if (all < 0) {
      all = one;
      continue;
    }
    const uint32_t distance = std::min(DistanceFrom(one), DistanceFrom(all));
    all = Add({.op = Op::kSplit, .next = one, .other = all, .distance = distance});
  }
  if (all < 0) throw Error(ErrorCode::kInternal, "A choice of nothing is left in a grammar");
  return all;
}

int32_t AutomatonBuilder::BuildRepeat(const IrNode& node, int32_t next) {
  const bool nothing = lengths_.nodes[static_cast<size_t>(node.a)] >= kFar;
  if (nothing || node.c == 0) return next;  // at least 0 times: others match nothing and were left out
  const auto least = static_cast<uint32_t>(node.b);
  const auto most = node.c < 0 ? kUnbounded : static_cast<uint32_t>(node.c);
  const uint32_t copies = most == kUnbounded ? least : most;
  const size_t before = out_.states.size();
  int32_t start = next;
  if (most == kUnbounded) {
    // The loop's own state comes first: the body leads back to it.
    const int32_t again = Add({.op = Op::kSplit, .other = next, .distance = DistanceFrom(next)});
    const int32_t body = Build(node.a, again);
    out_.states[static_cast<size_t>(again)].next = body;
    start = again;
  } else if (most > least) {
    const int32_t body = Build(node.a, next);
    start = Add({.op = Op::kSplit, .next = body, .other = next, .distance = DistanceFrom(next)});
  }
  const bool small = copies <= kCopiedTurns || copies * (out_.states.size() - before) <= kCopiedStates;
  if (loop_ < 0 && !small && !(most == kUnbounded && least <= 1)) {
    out_.states.resize(before);
    std::erase_if(built_, [&](const auto& entry) {
      return static_cast<size_t>(entry.second) >= before || (entry.first & UINT32_MAX) >= before;
    });
    return BuildCounted(node, next);
  }
  for (uint32_t i = least + (most == kUnbounded || most == least ? 0 : 1); i < copies; ++i) {
    const int32_t body = Build(node.a, start);
    start = Add({.op = Op::kSplit, .next = body, .other = next, .distance = DistanceFrom(next)});
  }
  for (uint32_t i = 0; i < least; ++i) start = Build(node.a, start);
  return start;
}

int32_t AutomatonBuilder::BuildCounted(const IrNode& node, int32_t next) {
  const uint32_t body_length = lengths_.nodes[static_cast<size_t>(node.a)];
  Loop loop{.least = body_length == 0 ? 0 : static_cast<uint32_t>(node.b),
            .most = node.c < 0 ? kUnbounded : static_cast<uint32_t>(node.c),
            .body_length = body_length,
            .exit = next};
  const auto index = static_cast<int32_t>(out_.loops.size());
  out_.loops.push_back(loop);
  const int32_t turn = Add({.op = Op::kLoop, .other = index, .distance = DistanceFrom(next)});
  loop_ = index;
  loop_state_ = turn;
  const int32_t body = Build(node.a, turn);
  loop_ = loop_state_ = -1;
  out_.loops[static_cast<size_t>(index)].body = body;
  return Add({.op = Op::kEnter,
              .next = turn,
              .other = index,
              .distance = AddDistance(TimesDistance(loop.least, body_length), DistanceFrom(next))});
}

int32_t AutomatonBuilder::BuildRule(int32_t rule, int32_t next) {
  const auto index = static_cast<size_t>(rule);
  if (called_[index] == 0 || copies_all_) return Build(ir_.rules[index], next);
  pending_.push_back(rule);
  return Add({.op = Op::kCall,
              .next = next,
              .other = rule,
              .distance = AddDistance(lengths_.rules[index], DistanceFrom(next))});
}

int32_t AutomatonBuilder::BuildProduct(const Dfa& dfa, int32_t next) {
  const auto first = static_cast<int32_t>(out_.states.size());
  const uint32_t rest = DistanceFrom(next);
  for (const uint32_t distance : dfa.distance)
    Add({.op = Op::kSplit, .distance = AddDistance(distance, rest)});
  for (size_t i = 0; i < dfa.edges.size(); ++i) {
    int32_t all = dfa.accepting[i] ? next : -1;
    for (const Dfa::Edge& edge : dfa.edges[i]) {
      const int32_t one = AddBytes(edge.low, edge.high, first + edge.to);
      const uint32_t distance = all < 0 ? DistanceFrom(one) : std::min(DistanceFrom(one), DistanceFrom(all));
      all = Add({.op = Op::kSplit, .next = one, .other = all, .distance = distance});
    }
    out_.states[static_cast<size_t>(first) + i].next = all;
  }
  return first;
}

}  // namespace kvasir::grammar
