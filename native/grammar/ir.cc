// What holds for a table of nodes as a whole: its soundness, least lengths, recursion. Everything here is a loop over the
// table: the depth of a grammar is no depth of the C stack.
#include "grammar/ir.h"

#include <algorithm>

#include "core/error.h"

namespace kvasir::grammar {

namespace {

[[noreturn]] void Malformed(const char* what) {
  throw Error(ErrorCode::kInvalidOption, std::string("The grammar's table is malformed: ") + what);
}

bool InRange(int64_t first, int64_t count, size_t size) {
  return first >= 0 && count >= 0 && first + count <= static_cast<int64_t>(size);
}

bool HasList(IrOp op) { return op == IrOp::kSequence || op == IrOp::kChoice || op == IrOp::kIntersect; }

void CheckChars(const Ir& ir, const IrNode& node) {
  if (!InRange(node.a, int64_t{2} * node.b, ir.lists.size())) Malformed("a list of code points");
  for (int32_t i = 0; i < node.b; ++i) {
    const int32_t first = ir.lists[static_cast<size_t>(node.a + 2 * i)];
    const int32_t last = ir.lists[static_cast<size_t>(node.a + 2 * i + 1)];
    if (first < 0 || last < first || last > 0x10FFFF) Malformed("a range of code points");
  }
}

void CheckNode(const Ir& ir, size_t index) {
  const IrNode& node = ir.nodes[index];
  const auto before = [&](int32_t child) { return child >= 0 && static_cast<size_t>(child) < index; };
  if (node.op == IrOp::kLiteral && !InRange(node.a, node.b, ir.bytes.size())) Malformed("a literal");
  if (node.op == IrOp::kChars) CheckChars(ir, node);
  if (node.op == IrOp::kRule && !InRange(node.a, 1, ir.rules.size())) Malformed("a reference");
  if (node.op == IrOp::kRepeat &&
      (!before(node.a) || node.b < 0 || node.c < -1 || (node.c >= 0 && node.c < node.b)))
    Malformed("a repetition");
  if (node.op == IrOp::kSubtract && (!before(node.a) || !before(node.b))) Malformed("a difference");
  if (!HasList(node.op)) return;
  if (!InRange(node.a, node.b, ir.lists.size())) Malformed("a list");
  for (int32_t i = 0; i < node.b; ++i) {
    if (!before(ir.lists[static_cast<size_t>(node.a + i)])) Malformed("a child");
  }
}

uint32_t Measure(const Ir& ir, const IrLengths& known, const IrNode& node) {
  switch (node.op) {
    case IrOp::kLiteral: return static_cast<uint32_t>(node.b);
    case IrOp::kChars: {
      uint32_t least = kFar;
      for (int32_t i = 0; i < node.b; ++i) {
        const int32_t c = ir.lists[static_cast<size_t>(node.a + 2 * i)];
        const uint32_t bytes = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        least = std::min(least, bytes);
      }
      return least;
    }
    case IrOp::kSequence: {
      uint32_t sum = 0;
      for (int32_t i = 0; i < node.b; ++i)
        sum = AddDistance(sum, known.nodes[static_cast<size_t>(ir.lists[static_cast<size_t>(node.a + i)])]);
      return sum;
    }
    case IrOp::kChoice: {
      uint32_t least = kFar;
      for (int32_t i = 0; i < node.b; ++i)
        least = std::min(least, known.nodes[static_cast<size_t>(ir.lists[static_cast<size_t>(node.a + i)])]);
      return least;
    }
    case IrOp::kRepeat:
      return TimesDistance(static_cast<uint32_t>(node.b), known.nodes[static_cast<size_t>(node.a)]);
    case IrOp::kRule: return known.rules[static_cast<size_t>(node.a)];
    case IrOp::kIntersect:
    case IrOp::kSubtract: break;  // measured before
  }
  return kFar;
}

// Calls `visit(child node)` for what stands at the front of a node, and `rule(index)` for a reference.
template <typename Visit, typename Rule>
void ForFront(const Ir& ir, const IrLengths& lengths, const IrNode& node, const Visit& visit,
              const Rule& rule) {
  if (node.op == IrOp::kRule) rule(node.a);
  if (node.op == IrOp::kRepeat && node.c != 0) visit(node.a);
  if (node.op != IrOp::kSequence && node.op != IrOp::kChoice) return;
  for (int32_t i = 0; i < node.b; ++i) {
    const int32_t child = ir.lists[static_cast<size_t>(node.a + i)];
    visit(child);
    if (node.op == IrOp::kSequence && lengths.nodes[static_cast<size_t>(child)] > 0) return;
  }
}

// For each rule those that `edges` leads to; which rules lie on a circle.
std::vector<uint8_t> OnCircles(const std::vector<std::vector<int32_t>>& edges) {
  const size_t rules = edges.size();
  std::vector<int32_t> index(rules, -1), low(rules, 0), open;
  std::vector<uint8_t> on_stack(rules, 0), circle(rules, 0);
  std::vector<std::pair<int32_t, size_t>> path;  // rule, next edge
  int32_t next = 0;
  const auto enter = [&](int32_t rule) {
    index[static_cast<size_t>(rule)] = low[static_cast<size_t>(rule)] = next++;
    open.push_back(rule);
    on_stack[static_cast<size_t>(rule)] = 1;
    path.emplace_back(rule, 0);
  };
  for (size_t root = 0; root < rules; ++root) {
    if (index[root] < 0) enter(static_cast<int32_t>(root));
    while (!path.empty()) {
      const auto rule = static_cast<size_t>(path.back().first);
      if (path.back().second < edges[rule].size()) {
        const auto to = static_cast<size_t>(edges[rule][path.back().second++]);
        if (to == rule) circle[rule] = 1;
        if (index[to] < 0)
          enter(static_cast<int32_t>(to));
        else if (on_stack[to])
          low[rule] = std::min(low[rule], index[to]);
        continue;
      }
      path.pop_back();
      if (!path.empty()) {
        const auto parent = static_cast<size_t>(path.back().first);
        low[parent] = std::min(low[parent], low[rule]);
      }
      if (low[rule] != index[rule]) continue;
      const bool alone = open.back() == static_cast<int32_t>(rule);
      for (bool more = true; more;) {
        const auto member = static_cast<size_t>(open.back());
        open.pop_back();
        on_stack[member] = 0;
        if (!alone) circle[member] = 1;
        more = member != rule;
      }
    }
  }
  return circle;
}

// Rules below each rule's node, found by `children`, which calls its two arguments as ForFront does.
template <typename Children>
std::vector<std::vector<int32_t>> RuleEdges(const Ir& ir, const Children& children) {
  std::vector<std::vector<int32_t>> edges(ir.rules.size());
  std::vector<int32_t> seen(ir.nodes.size(), -1), work;
  for (size_t rule = 0; rule < ir.rules.size(); ++rule) {
    const auto visit = [&](int32_t node) {
      if (seen[static_cast<size_t>(node)] == static_cast<int32_t>(rule)) return;
      seen[static_cast<size_t>(node)] = static_cast<int32_t>(rule);
      work.push_back(node);
    };
    visit(ir.rules[rule]);
    while (!work.empty()) {
      const int32_t node = work.back();
      work.pop_back();
      children(ir.nodes[static_cast<size_t>(node)], visit, [&](int32_t to) { edges[rule].push_back(to); });
    }
    std::sort(edges[rule].begin(), edges[rule].end());
    edges[rule].erase(std::unique(edges[rule].begin(), edges[rule].end()), edges[rule].end());
  }
  return edges;
}

}  // namespace

void CheckIr(const Ir& ir) {
  if (ir.nodes.size() > kMostIrNodes) throw LimitError("The grammar has more than 2^20 parts");
  if (ir.rules.empty() || ir.shared.size() != ir.rules.size()) Malformed("the rules");
  for (const int32_t node : ir.rules) {
    if (!InRange(node, 1, ir.nodes.size())) Malformed("a rule");
  }
  for (size_t i = 0; i < ir.nodes.size(); ++i) CheckNode(ir, i);
}

IrLengths MeasureIr(const Ir& ir, const std::vector<uint32_t>& products) {
  IrLengths lengths{products, std::vector<uint32_t>(ir.rules.size(), kFar)};
  lengths.nodes.resize(ir.nodes.size(), kFar);
  size_t work = 0;
  for (bool changed = true; changed;) {
    work += ir.nodes.size();
    if (work > size_t{100'000'000}) throw LimitError("The grammar's rules depend on each other too deeply");
    for (size_t i = 0; i < ir.nodes.size(); ++i) {
      const IrOp op = ir.nodes[i].op;
      if (op != IrOp::kIntersect && op != IrOp::kSubtract)
        lengths.nodes[i] = Measure(ir, lengths, ir.nodes[i]);
    }
    changed = false;
    for (size_t rule = 0; rule < ir.rules.size(); ++rule) {
      const uint32_t length = lengths.nodes[static_cast<size_t>(ir.rules[rule])];
      changed = changed || length < lengths.rules[rule];
      lengths.rules[rule] = std::min(lengths.rules[rule], length);
    }
  }
  return lengths;
}

std::vector<uint8_t> CalledRules(const Ir& ir) {
  const auto edges = RuleEdges(ir, [&](const IrNode& node, const auto& visit, const auto& rule) {
    if (node.op == IrOp::kRule) rule(node.a);
    if (node.op == IrOp::kRepeat || node.op == IrOp::kSubtract) visit(node.a);
    if (node.op == IrOp::kSubtract) visit(node.b);
    if (!HasList(node.op)) return;
    for (int32_t i = 0; i < node.b; ++i) visit(ir.lists[static_cast<size_t>(node.a + i)]);
  });
  std::vector<uint8_t> called = OnCircles(edges);
  for (size_t rule = 0; rule < called.size(); ++rule) called[rule] |= ir.shared[rule];
  return called;
}

void CheckLeftRecursion(const Ir& ir, const IrLengths& lengths) {
  const auto edges = RuleEdges(ir, [&](const IrNode& node, const auto& visit, const auto& rule) {
    ForFront(ir, lengths, node, visit, rule);
  });
  const std::vector<uint8_t> circles = OnCircles(edges);
  for (size_t rule = 0; rule < circles.size(); ++rule) {
    if (circles[rule] == 0 || lengths.rules[rule] >= kFar) continue;
    throw Error(ErrorCode::kInvalidOption,
                "Rule " + std::to_string(rule) + " of the grammar begins with itself (left recursion)");
  }
}

}  // namespace kvasir::grammar
