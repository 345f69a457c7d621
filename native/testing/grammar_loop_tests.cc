// Masks within counted loops, which frames share that differ only in the turns that are left: at every number of turns they
// are what each token alone says, also where tokens run short; and bytes that lead back to where they came from.
#include <memory>
#include <random>

#include "testing/grammar_table.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

// Longer than the loops below are, too.
std::vector<std::string> LongTokens(std::mt19937& random) {
  std::vector<std::string> tokens = SomeTokens(random, "ab\"\\c-");
  for (size_t n = 6; n < 40; n += 3) {
    std::string token;
    for (size_t i = 0; i < n; ++i) token += "aaab"[random() % 4];
    tokens.push_back(token);
    tokens.push_back(token + "\"");
    tokens.push_back("b" + token + "\"-\"a");
  }
  for (const char* token : {"ca\"-", "aa\"-", "caa\"-", "\xC3\xA9", "a\xC3", "\xA9\xC3\xA9", "\\\"", "a\\",
                            "\\\\\\\\", "\"-\"", "\"-\"\"-\""})
    tokens.emplace_back(token);
  return tokens;
}

// A letter of one or two bytes, or what is escaped.
int32_t Char(Table& table) {
  return table.Choice({table.Chars({'a', 'b', 0xE9, 0xE9}),
                       table.Sequence({table.Literal("\\"), table.Chars({'"', '"', '\\', '\\'})})});
}

// "..." with so many characters.
int32_t String(Table& table, int32_t least, int32_t most) {
  const int32_t body = table.Repeat(Char(table), least, most);
  return table.Sequence({table.Literal("\""), body, table.Literal("\"")});
}

std::vector<Table> Tables() {
  std::vector<Table> tables;
  for (const int32_t least : {0, 1, 7}) {
    Table one;
    one.SetRules({String(one, least, 22)});
    tables.push_back(one);
  }
  Table several;  // the same loop again and again, and what follows it, in rules of their own
  const int32_t item = several.Sequence({several.Rule(1), several.Literal("-")});
  several.SetRules({several.Repeat(item, 1, -1), String(several, 0, 19)}, true);
  tables.push_back(several);
  Table nested;  // a loop within a loop, of which the outer one counts
  nested.SetRules({nested.Repeat(nested.Sequence({String(nested, 0, 17), nested.Literal("-")}), 0, 30)});
  tables.push_back(nested);
  Table either;  // an a may be a turn or what is behind all of them
  const int32_t turns = either.Repeat(either.Chars({'a', 'c'}), 0, 40);
  either.SetRules({either.Sequence({either.Rule(1), either.Literal("-")}),
                   either.Sequence({turns, either.Literal("a\"")})},
                  true);
  tables.push_back(either);
  Table open;  // the end may come at any turn
  open.SetRules({open.Repeat(Char(open), 0, 25)});
  tables.push_back(open);
  Table called;  // a turn is a rule of its own
  called.SetRules(
      {called.Sequence({called.Repeat(called.Rule(1), 0, 90), called.Literal("\"")}), Char(called)}, true);
  tables.push_back(called);
  return tables;
}

// One way through a grammar, a byte or a token at a time, with masks of all and of what fits into few tokens.
int Follow(const std::shared_ptr<Grammar>& grammar, std::mt19937& random, bool bytes) {
  const ByteTrie& trie = grammar->trie();
  Matcher matcher(grammar);
  std::vector<uint32_t> all(trie.words()), some(trie.words());
  int compared = 0;
  for (int step = 0; step < 60 && !matcher.Over(); ++step) {
    const int64_t few = 1 + random() % 30;
    KV_EXPECT(!matcher.Mask(all.data(), 1'000'000).narrowed);
    Matcher(matcher).Mask(some.data(), few);
    std::vector<int32_t> allowed;
    for (int32_t token = 0; token < static_cast<int32_t>(trie.tokens()); ++token) {
      const bool accepts = matcher.Accept(token);
      KV_EXPECT_EQ(Has(all, static_cast<size_t>(token)), accepts);
      std::vector<int32_t> way;
      const bool fits = accepts && matcher.Shortest(way) && static_cast<int64_t>(way.size()) < few;
      KV_EXPECT_EQ(Has(some, static_cast<size_t>(token)), fits);
      if (accepts) matcher.Rollback(1);
      if (accepts && (!bytes || token < 256)) allowed.push_back(token);
      ++compared;
    }
    if (allowed.empty()) break;
    // Seldom what ends a string.
    int32_t token = allowed[random() % allowed.size()];
    if (trie.BytesOf(token)[0] == '"' && random() % 3 != 0) token = allowed[random() % allowed.size()];
    KV_EXPECT(matcher.Accept(token));
  }
  return compared;
}

}  // namespace

KV_TEST(grammar_masks_in_counted_loops_are_what_each_token_says) {
  std::mt19937 random(8);
  const auto trie = TrieOf(LongTokens(random));
  int compared = 0;
  for (const Table& table : Tables()) {
    const auto grammar = std::make_shared<Grammar>(table.ir, trie);
    KV_EXPECT(!grammar->automaton().loops.empty());
    for (int i = 0; i < 12; ++i) compared += Follow(grammar, random, i % 2 == 0);
  }
  KV_EXPECT(compared > 200'000);
}

}  // namespace kvasir::testing
