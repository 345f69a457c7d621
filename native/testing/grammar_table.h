// Grammars, vocabularies and masks for the tests of the grammar engine.
#pragma once

#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "grammar/grammar.h"

namespace kvasir::testing {

using grammar::ByteTrie;
using grammar::Grammar;
using grammar::Ir;
using grammar::IrNode;
using grammar::IrOp;
using grammar::MaskOutcome;
using grammar::Matcher;

// Makes tables of nodes.
class Table {
 public:
  Ir ir;
  int32_t Literal(const std::string& text) {
    const auto first = static_cast<int32_t>(ir.bytes.size());
    ir.bytes += text;
    return Add({IrOp::kLiteral, first, static_cast<int32_t>(text.size()), 0});
  }
  int32_t Chars(const std::vector<int32_t>& ranges) {
    const int32_t first = List(ranges);
    return Add({IrOp::kChars, first, static_cast<int32_t>(ranges.size() / 2), 0});
  }
  int32_t Of(IrOp op, const std::vector<int32_t>& children) {
    const int32_t first = List(children);
    return Add({op, first, static_cast<int32_t>(children.size()), 0});
  }
  int32_t Sequence(const std::vector<int32_t>& children) { return Of(IrOp::kSequence, children); }
  int32_t Choice(const std::vector<int32_t>& children) { return Of(IrOp::kChoice, children); }
  int32_t Repeat(int32_t child, int32_t least, int32_t most) {
    return Add({IrOp::kRepeat, child, least, most});
  }
  int32_t Rule(int32_t rule) { return Add({IrOp::kRule, rule, 0, 0}); }
  int32_t Add(IrNode node) {
    ir.nodes.push_back(node);
    return static_cast<int32_t>(ir.nodes.size()) - 1;
  }
  void SetRules(const std::vector<int32_t>& rules, bool shared = false) {
    ir.rules = rules;
    ir.shared.assign(rules.size(), shared ? 1 : 0);
    ir.shared[0] = 0;
  }

 private:
  int32_t List(const std::vector<int32_t>& items) {
    const auto first = static_cast<int32_t>(ir.lists.size());
    ir.lists.insert(ir.lists.end(), items.begin(), items.end());
    return first;
  }
};

inline std::shared_ptr<const ByteTrie> TrieOf(const std::vector<std::string>& tokens) {
  std::string bytes;
  std::vector<uint32_t> offsets{0};
  for (const std::string& token : tokens) {
    bytes += token;
    offsets.push_back(static_cast<uint32_t>(bytes.size()));
  }
  const std::vector<uint8_t> usable(tokens.size(), 1);
  return std::make_shared<ByteTrie>(reinterpret_cast<const uint8_t*>(bytes.data()), offsets.data(),
                                    usable.data(), tokens.size());
}

// All single bytes, and some longer tokens of a few letters.
inline std::vector<std::string> SomeTokens(std::mt19937& random, const std::string& letters) {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  std::set<std::string> more;
  for (int i = 0; i < 60; ++i) {
    std::string token;
    for (size_t n = 2 + random() % 4; n > 0; --n) token += letters[random() % letters.size()];
    more.insert(token);
  }
  tokens.insert(tokens.end(), more.begin(), more.end());
  return tokens;
}

inline std::shared_ptr<Grammar> Compiled(const Ir& ir, const std::shared_ptr<const ByteTrie>& trie) {
  try {
    return std::make_shared<Grammar>(ir, trie);
  } catch (const Error&) {
    return nullptr;  // it matches nothing
  }
}

inline bool Has(const std::vector<uint32_t>& bits, size_t token) {
  return (bits[token / 32] >> (token % 32) & 1) != 0;
}

}  // namespace kvasir::testing
