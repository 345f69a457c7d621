// Special tokens in grammars, which stand there as bytes that no text has, matchers that go on from one another, and text that
// must follow.
#include <memory>

#include "grammar/grammar.h"
#include "testing/grammar_table.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

const std::string kMarker = "\xFF\xF8\xF9\xFA";
const std::string kOther = "\xFF\xF8\xF9\xFB";

// `marker`, then any number of letters a, then `marker`. Tokens: a, aa, the marker, another one, b.
std::shared_ptr<Grammar> Between() {
  const std::vector<std::string> tokens{"a", "aa", kMarker, kOther, "b"};
  Ir ir;
  ir.bytes = kMarker + "a";
  ir.lists = {0, 2, 0};
  ir.nodes = {{IrOp::kLiteral, 0, 4, 0},
              {IrOp::kLiteral, 4, 1, 0},
              {IrOp::kRepeat, 1, 0, -1},
              {IrOp::kSequence, 0, 3, 0}};
  ir.rules = {3};
  ir.shared = {0};
  return std::make_shared<Grammar>(ir, TrieOf(tokens));
}

uint32_t MaskOf(Matcher& matcher, int64_t remaining) {
  std::vector<uint32_t> bits(matcher.words());
  matcher.Mask(bits.data(), remaining);
  return bits[0];
}

}  // namespace

KV_TEST(grammar_special_tokens_are_whole) {
  const auto grammar = Between();
  KV_EXPECT(grammar->automaton().spelled);
  Matcher matcher(grammar);
  std::vector<int32_t> shortest;
  KV_EXPECT(matcher.Shortest(shortest) && shortest == std::vector<int32_t>({2, 2}));
  KV_EXPECT_EQ(MaskOf(matcher, 100), 1u << 2);
  KV_EXPECT(!matcher.Accept(3) && matcher.Accept(2));
  KV_EXPECT_EQ(MaskOf(matcher, 100), 1u << 0 | 1u << 1 | 1u << 2);
  // One more token has to be the marker.
  KV_EXPECT_EQ(MaskOf(matcher, 1), 1u << 2);
  KV_EXPECT_EQ(MaskOf(matcher, 2), 1u << 0 | 1u << 1 | 1u << 2);
  KV_EXPECT(matcher.Accept(1) && matcher.Accept(2) && matcher.Over() && matcher.CanEnd());
}

KV_TEST(grammar_matchers_go_on_from_one_another) {
  Matcher first(Between());
  KV_EXPECT(first.Accept(2));
  Matcher second(first);
  KV_EXPECT(first.Accept(2) && first.Over());
  KV_EXPECT(!second.Over() && second.Accept(0));
  KV_EXPECT_EQ(MaskOf(second, 50), 1u << 0 | 1u << 1 | 1u << 2);
  second.Rollback(2);
  KV_EXPECT_EQ(MaskOf(second, 50), 1u << 2);
  KV_EXPECT(first.Over());
}

KV_TEST(grammar_tells_what_is_forced) {
  const std::vector<std::string> tokens{"n",   "a",    "m",    "e", "na",      "me",
                                        "ame", "\xC3", "\xA9", "b", "\xC3\xA8"};
  Table table;
  const int32_t name = table.Literal("name");
  const int32_t either = table.Choice({table.Literal("a"), table.Literal("b")});
  const int32_t accented = table.Chars({0xE9, 0xE9});
  const int32_t two = table.Chars({0xE8, 0xE9});
  table.SetRules({table.Sequence({name, either, accented, two, table.Repeat(name, 0, 1)})});
  Matcher matcher(std::make_shared<Grammar>(table.ir, TrieOf(tokens)));
  using Tokens = std::vector<int32_t>;
  KV_EXPECT(matcher.Forced(80) == "name" && matcher.Forced(2) == "na");
  KV_EXPECT(matcher.ForcedTokens(80) == Tokens({6, 0}));  // the last one first
  KV_EXPECT(matcher.Accept(0) && matcher.ForcedTokens(80) == Tokens({6}));
  KV_EXPECT(matcher.Accept(6) && matcher.Forced(80).empty() && matcher.ForcedTokens(80).empty());
  // Two characters that begin alike.
  KV_EXPECT(matcher.Accept(9) && matcher.Forced(80) == "\xC3\xA9\xC3");
  KV_EXPECT(matcher.Accept(7) && matcher.Accept(8) && matcher.Accept(10));
  // It may end here.
  KV_EXPECT(matcher.CanEnd() && matcher.Forced(80).empty());
  KV_EXPECT(matcher.Accept(4) && matcher.ForcedTokens(80) == Tokens({5}));
  KV_EXPECT(matcher.Accept(5) && matcher.Over() && matcher.Forced(80).empty());
}

}  // namespace kvasir::testing
