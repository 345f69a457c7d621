#include "grammar/grammar.h"

#include "core/error.h"

namespace kvasir::grammar {

namespace {

Dfa Product(const Ir& ir, const IrNode& node, const std::vector<Dfa>& products, const IrLengths& lengths) {
  const auto dfa_of = [&](int32_t child) {
    if (lengths.nodes[static_cast<size_t>(child)] >= kFar) return Dfa{};
    AutomatonBuilder builder(ir, lengths, products, {});
    return Explore(builder.BuildNode(child));
  };
  if (node.op == IrOp::kSubtract) return Subtract(dfa_of(node.a), dfa_of(node.b));
  Dfa all;
  for (int32_t i = 0; i < node.b; ++i) {
    Dfa one = dfa_of(ir.lists[static_cast<size_t>(node.a + i)]);
    all = i == 0 ? std::move(one) : Intersect(all, one);
  }
  return all;
}

Automaton Compile(const Ir& ir, const ByteTrie& trie) {
  CheckIr(ir);
  std::vector<uint32_t> product_lengths(ir.nodes.size(), kFar);
  std::vector<Dfa> products(ir.nodes.size());
  for (size_t i = 0; i < ir.nodes.size(); ++i) {
    const IrOp op = ir.nodes[i].op;
    if (op != IrOp::kIntersect && op != IrOp::kSubtract) continue;
    products[i] = Product(ir, ir.nodes[i], products, MeasureIr(ir, product_lengths));
    if (!products[i].empty()) product_lengths[i] = products[i].distance[0];
  }
  const IrLengths lengths = MeasureIr(ir, product_lengths);
  if (lengths.rules[0] >= kFar) throw Error(ErrorCode::kInvalidOption, "The grammar matches no text");
  CheckLeftRecursion(ir, lengths);
  const std::vector<uint8_t> called = CalledRules(ir);
  AutomatonBuilder builder(ir, lengths, products, called);
  Automaton automaton = builder.BuildRules();
  for (const State& state : automaton.states) {
    // A special token is spelled as a whole.
    if (state.op != Op::kBytes || state.low >= kFirstTokenByte) continue;
    // All of them lead to one state: one will do.
    bool has_any = false;
    for (int byte = state.low; byte <= state.high; ++byte)
      has_any = has_any || trie.HasByte(static_cast<uint8_t>(byte));
    automaton.spelled = automaton.spelled && has_any;
  }
  return automaton;
}

}  // namespace

Grammar::Grammar(const Ir& ir, std::shared_ptr<const ByteTrie> trie)
    : trie_(std::move(trie)),
      automaton_(Compile(ir, *trie_)),
      frames_(automaton_),
      locals_(frames_),
      masks_(frames_, locals_, *trie_),
      completion_(frames_, locals_, *trie_) {}

}  // namespace kvasir::grammar
