// The grammar engine: texts against a matcher that backtracks, masks against token by token acceptance, ends that are always
// reached within the tokens that remain, and every budget.
#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <set>

#include "grammar/grammar.h"
#include "testing/grammar_table.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

using grammar::LimitError;

// Places after each match of a node from `at`, by trying everything; `depth` bounds rules.
std::set<size_t> Ends(const Ir& ir, int32_t index, const std::string& text, size_t at, int depth) {
  const IrNode& node = ir.nodes[static_cast<size_t>(index)];
  const auto list = [&](int32_t i) { return ir.lists[static_cast<size_t>(node.a + i)]; };
  std::set<size_t> ends;
  if (depth <= 0) return ends;
  switch (node.op) {
    case IrOp::kLiteral:
      if (text.compare(at, static_cast<size_t>(node.b), ir.bytes, static_cast<size_t>(node.a),
                       static_cast<size_t>(node.b)) == 0)
        ends.insert(at + static_cast<size_t>(node.b));
      break;
    case IrOp::kChars:
      for (int32_t i = 0; i < node.b && at < text.size(); ++i) {
        if (list(2 * i) <= text[at] && text[at] <= list(2 * i + 1)) ends.insert(at + 1);
      }
      break;
    case IrOp::kSequence:
      ends.insert(at);
      for (int32_t i = 0; i < node.b; ++i) {
        std::set<size_t> next;
        for (const size_t from : ends) next.merge(Ends(ir, list(i), text, from, depth));
        ends = std::move(next);
      }
      break;
    case IrOp::kChoice:
      for (int32_t i = 0; i < node.b; ++i) ends.merge(Ends(ir, list(i), text, at, depth));
      break;
    case IrOp::kRepeat: {
      std::set<size_t> now{at};
      if (node.b == 0) ends.insert(at);
      for (int32_t i = 1; i <= (node.c < 0 ? 12 : node.c) && !now.empty(); ++i) {
        std::set<size_t> next;
        for (const size_t from : now) next.merge(Ends(ir, node.a, text, from, depth));
        now = std::move(next);
        if (i >= node.b) ends.insert(now.begin(), now.end());
      }
      break;
    }
    case IrOp::kRule: return Ends(ir, ir.rules[static_cast<size_t>(node.a)], text, at, depth - 1);
    case IrOp::kIntersect: {
      ends = Ends(ir, list(0), text, at, depth);
      for (int32_t i = 1; i < node.b; ++i) {
        const std::set<size_t> other = Ends(ir, list(i), text, at, depth);
        std::erase_if(ends, [&](size_t end) { return !other.contains(end); });
      }
      break;
    }
    case IrOp::kSubtract: {
      ends = Ends(ir, node.a, text, at, depth);
      const std::set<size_t> without = Ends(ir, node.b, text, at, depth);
      std::erase_if(ends, [&](size_t end) { return without.contains(end); });
      break;
    }
  }
  return ends;
}

bool Matches(const Ir& ir, const std::string& text) {
  return Ends(ir, ir.rules[0], text, 0, 12).contains(text.size());
}

// A random regular node over the letters a to c.
int32_t RandomNode(Table& table, std::mt19937& random, int depth) {
  const auto child = [&] { return RandomNode(table, random, depth - 1); };
  const uint32_t kind = depth == 0 ? random() % 2 : random() % 9;
  switch (kind) {
    case 0: return table.Literal(std::string(1 + random() % 3, static_cast<char>('a' + random() % 3)));
    case 1: return table.Chars({'a', static_cast<int32_t>('a' + random() % 3)});
    case 2:
    case 3: return table.Sequence({child(), child()});
    case 4: return table.Choice({child(), child()});
    case 5: return table.Repeat(child(), 0, random() % 2 == 0 ? -1 : 3);
    case 6: {
      const auto least = static_cast<int32_t>(random() % 3);
      return table.Repeat(table.Chars({'a', 'b'}), least, least + 70 + static_cast<int32_t>(random() % 3));
    }
    case 7: return table.Of(IrOp::kIntersect, {child(), child()});
    default: return table.Add({IrOp::kSubtract, child(), child(), 0});
  }
}

Table RandomTable(std::mt19937& random) {
  Table table;
  const int32_t body = RandomNode(table, random, 3);
  // Rule 1 recurs around the body: ( rule )* or the body.
  const int32_t nested =
      table.Sequence({table.Literal("("), table.Repeat(table.Rule(1), 0, -1), table.Literal(")")});
  const int32_t recursive = table.Choice({nested, table.Sequence({table.Literal("c"), body})});
  const int32_t root = random() % 2 == 0 ? body : table.Sequence({table.Rule(1), table.Repeat(body, 0, 1)});
  table.SetRules({root, recursive}, random() % 2 == 0);
  return table;
}

KV_TEST(grammar_accepts_what_a_backtracking_matcher_does) {
  std::mt19937 random(1);
  const auto trie = TrieOf(SomeTokens(random, "abc()"));
  int compared = 0, matched = 0;
  for (int i = 0; i < 150; ++i) {
    const Table table = RandomTable(random);
    const std::shared_ptr<Grammar> grammar = Compiled(table.ir, trie);
    for (int j = 0; j < 60; ++j) {
      std::string text;
      for (size_t n = random() % 8; n > 0; --n) text += "abcc()"[random() % 6];
      const bool expected = Matches(table.ir, text);
      bool found = grammar != nullptr;
      if (grammar != nullptr) {
        Matcher matcher(grammar);
        for (const char c : text) found = found && matcher.Accept(static_cast<uint8_t>(c));
        found = found && matcher.CanEnd();
      }
      KV_EXPECT_EQ(found, expected);
      ++compared;
      matched += expected ? 1 : 0;
    }
  }
  KV_EXPECT(compared == 9000 && matched > 300);
}

KV_TEST(grammar_masks_are_what_each_token_alone_says) {
  std::mt19937 random(2);
  const auto trie = TrieOf(SomeTokens(random, "abc()"));
  std::vector<uint32_t> bits(trie->words());
  int walked = 0;
  for (int i = 0; i < 150; ++i) {
    const std::shared_ptr<Grammar> grammar = Compiled(RandomTable(random).ir, trie);
    if (grammar == nullptr) continue;
    Matcher matcher(grammar);
    for (int step = 0; step < 12 && !matcher.Over(); ++step, ++walked) {
      const MaskOutcome outcome = matcher.Mask(bits.data(), 1'000'000);
      KV_EXPECT(!outcome.narrowed);
      std::vector<int32_t> allowed;
      for (size_t token = 0; token < trie->tokens(); ++token) {
        const bool accepts = matcher.Accept(static_cast<int32_t>(token));
        if (accepts) matcher.Rollback(1);
        KV_EXPECT_EQ(Has(bits, token), accepts);
        if (accepts) allowed.push_back(static_cast<int32_t>(token));
      }
      KV_EXPECT_EQ(outcome.allowed, static_cast<int32_t>(allowed.size()));
      if (allowed.empty()) break;
      KV_EXPECT(matcher.Accept(allowed[random() % allowed.size()]));
    }
  }
  KV_EXPECT(walked > 500);
}

// Random ways through random grammars, of as many tokens as the shortest one has, or a few more; how many ended.
struct Ended {
  int narrowed = 0, ended = 0;
};
Ended EndAll(uint32_t seed, const std::shared_ptr<const ByteTrie>& trie) {
  std::mt19937 random(seed);
  std::vector<uint32_t> bits(trie->words());
  Ended result;
  for (int i = 0; i < 200; ++i) {
    const std::shared_ptr<Grammar> grammar = Compiled(RandomTable(random).ir, trie);
    if (grammar == nullptr) continue;
    Matcher matcher(grammar);
    std::vector<int32_t> shortest;
    if (!matcher.Shortest(shortest)) {
      KV_EXPECT(!trie->HasByte('a'));
      continue;
    }
    auto remaining = static_cast<int64_t>(shortest.size() + random() % 6);
    while (remaining > 0 && !matcher.Over()) {
      result.narrowed += matcher.Mask(bits.data(), remaining).narrowed ? 1 : 0;
      std::vector<int32_t> allowed;
      for (size_t token = 0; token < trie->tokens(); ++token) {
        if (Has(bits, token)) allowed.push_back(static_cast<int32_t>(token));
      }
      if (allowed.empty()) break;
      KV_EXPECT(matcher.Accept(allowed[random() % allowed.size()]));
      --remaining;
    }
    KV_EXPECT(matcher.CanEnd());
    result.ended += matcher.CanEnd() ? 1 : 0;
  }
  return result;
}

KV_TEST(grammar_ends_within_the_tokens_that_remain) {
  std::mt19937 random(3);
  const Ended all = EndAll(3, TrieOf(SomeTokens(random, "abc()")));
  KV_EXPECT(all.narrowed > 100 && all.ended > 100);
  std::vector<std::string> tokens = SomeTokens(random, "abc()");
  std::erase(tokens, "a");  // where a class has other bytes, they are taken
  const Ended some = EndAll(4, TrieOf(tokens));
  Table table;
  table.SetRules({table.Repeat(table.Chars({'a', 'c'}), 5, 5)});
  std::vector<int32_t> way;
  KV_EXPECT(Matcher(std::make_shared<Grammar>(table.ir, TrieOf(tokens))).Shortest(way) && some.ended > 50);
}

KV_TEST(grammar_classes_are_utf8) {
  const auto trie =
      TrieOf({"a", "\xC3", "\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xED", "\xA0", "\x80", "\xC0"});
  Table table;
  table.SetRules({table.Repeat(table.Chars({0, 0x10FFFF}), 0, -1)});
  Matcher matcher(std::make_shared<Grammar>(table.ir, trie));
  for (const int32_t token : {0, 1, 2, 3, 4}) KV_EXPECT(matcher.Accept(token));
  KV_EXPECT(matcher.CanEnd());
  KV_EXPECT(matcher.Accept(5));
  KV_EXPECT(!matcher.Accept(6));  // a surrogate
  KV_EXPECT(matcher.Accept(7));
  KV_EXPECT(!matcher.CanEnd());
  matcher.Rollback(2);
  KV_EXPECT(!matcher.Accept(8));  // an overlong form
  KV_EXPECT(matcher.CanEnd());
}

KV_TEST(grammar_counts_long_repetitions) {
  std::mt19937 random(4);
  const auto trie = TrieOf(SomeTokens(random, "ab"));
  Table table;
  table.SetRules({table.Sequence(
      {table.Repeat(table.Chars({'a', 'a', 0xE9, 0xE9}), 10'000, 10'001), table.Literal("b")})});
  const auto grammar = std::make_shared<Grammar>(table.ir, trie);
  KV_EXPECT(grammar->automaton().states.size() < 20);
  Matcher matcher(grammar);
  for (int i = 0; i < 10'000; ++i) KV_EXPECT(!matcher.Accept('b') && matcher.Accept('a'));
  KV_EXPECT(matcher.Accept('b'));
  KV_EXPECT(matcher.Over() && matcher.CanEnd());
  matcher.Rollback(1);
  KV_EXPECT(matcher.Accept('a') && !matcher.Accept('a') && matcher.Accept('b'));
}

KV_TEST(grammar_nests_as_deep_as_the_text) {
  const auto trie = TrieOf({"[", "]"});
  Table table;
  const int32_t list =
      table.Sequence({table.Literal("["), table.Repeat(table.Rule(0), 0, -1), table.Literal("]")});
  table.SetRules({list});
  Matcher matcher(std::make_shared<Grammar>(table.ir, trie));
  for (int i = 0; i < 20'000; ++i) KV_EXPECT(matcher.Accept(0));
  for (int i = 0; i < 20'000; ++i) KV_EXPECT(!matcher.CanEnd() && matcher.Accept(1));
  KV_EXPECT(matcher.CanEnd() && matcher.Over());
}

KV_TEST(grammar_refuses_what_cannot_be) {
  const auto trie = TrieOf({"a"});
  Table nothing;
  nothing.SetRules({nothing.Choice({})});
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "matches no text", Grammar(nothing.ir, trie));
  Table endless;
  endless.SetRules({endless.Sequence({endless.Literal("a"), endless.Rule(0)})});
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "matches no text", Grammar(endless.ir, trie));
  Table left;
  left.SetRules({left.Choice(
      {left.Sequence({left.Repeat(left.Literal("a"), 0, 1), left.Rule(0)}), left.Literal("a")})});
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "left recursion", Grammar(left.ir, trie));
  Table malformed;
  malformed.SetRules({malformed.Repeat(5, 0, -1)});
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "malformed", Grammar(malformed.ir, trie));
}

bool IsLimited(const std::function<void()>& run) {
  try {
    run();
  } catch (const LimitError&) {
    return true;
  }
  return false;
}

KV_TEST(grammar_stays_within_its_budgets) {
  std::mt19937 random(5);
  const auto trie = TrieOf(SomeTokens(random, "ab"));
  Table copies;  // 100^4 times two letters
  int32_t node = copies.Literal("ab");
  for (int i = 0; i < 4; ++i) node = copies.Repeat(node, 100, 100);
  copies.SetRules({node});
  KV_EXPECT(IsLimited([&] { Grammar(copies.ir, trie); }));
  Table deep;
  node = deep.Literal("a");
  for (int i = 0; i < 5000; ++i) node = deep.Repeat(node, 0, 1);
  deep.SetRules({node});
  KV_EXPECT(IsLimited([&] { Grammar(deep.ir, trie); }));
  Table product;  // the 17th letter from the end is an a, as a difference: 2^17 states
  const int32_t any = product.Repeat(product.Chars({'a', 'b'}), 0, -1);
  const int32_t tail = product.Repeat(product.Chars({'a', 'b'}), 16, 16);
  product.SetRules(
      {product.Add({IrOp::kSubtract, any, product.Sequence({any, product.Literal("a"), tail}), 0})});
  KV_EXPECT(IsLimited([&] { Grammar(product.ir, trie); }));
  Table frames;  // the same while a text is followed
  const int32_t all = frames.Repeat(frames.Chars({'a', 'b'}), 0, -1);
  frames.SetRules(
      {frames.Sequence({all, frames.Literal("a"), frames.Repeat(frames.Chars({'a', 'b'}), 40, 40)})});
  const auto grammar = std::make_shared<Grammar>(frames.ir, trie);
  KV_EXPECT(IsLimited([&] {
    for (int i = 0; i < 100; ++i) {
      Matcher matcher(grammar);
      for (int j = 0; j < 2000; ++j) matcher.Accept("ab"[random() % 2]);
    }
  }));
}

}  // namespace
}  // namespace kvasir::testing
