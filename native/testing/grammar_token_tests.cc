// Special tokens in grammars, which stand there as bytes that no text has, and matchers that go on from one another.
#include <memory>

#include "grammar/grammar.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

using grammar::ByteTrie;
using grammar::Grammar;
using grammar::Ir;
using grammar::IrOp;
using grammar::Matcher;

const std::string kMarker = "\xFF\xF8\xF9\xFA";
const std::string kOther = "\xFF\xF8\xF9\xFB";

// `marker`, then any number of letters a, then `marker`. Tokens: a, aa, the marker, another one, b.
std::shared_ptr<Grammar> Between() {
  const std::vector<std::string> tokens{"a", "aa", kMarker, kOther, "b"};
  std::string bytes;
  std::vector<uint32_t> offsets{0};
  for (const std::string& token : tokens) {
    bytes += token;
    offsets.push_back(static_cast<uint32_t>(bytes.size()));
  }
  const std::vector<uint8_t> usable(tokens.size(), 1);
  auto trie = std::make_shared<ByteTrie>(reinterpret_cast<const uint8_t*>(bytes.data()), offsets.data(),
                                         usable.data(), tokens.size());
  Ir ir;
  ir.bytes = kMarker + "a";
  ir.lists = {0, 2, 0};
  ir.nodes = {{IrOp::kLiteral, 0, 4, 0},
              {IrOp::kLiteral, 4, 1, 0},
              {IrOp::kRepeat, 1, 0, -1},
              {IrOp::kSequence, 0, 3, 0}};
  ir.rules = {3};
  ir.shared = {0};
  return std::make_shared<Grammar>(ir, std::move(trie));
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

}  // namespace kvasir::testing
