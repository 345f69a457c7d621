// A compiled grammar over one vocabulary and the matchers that follow texts through it. A grammar and its matchers belong to
// one thread at a time: they share what they find out.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "grammar/completion.h"
#include "grammar/ir.h"
#include "grammar/masks.h"

namespace kvasir::grammar {

class Grammar {
 public:
  // Throws Error(kInvalidOption): it matches nothing, or a rule begins with itself. LimitError: it is too large.
  Grammar(const Ir& ir, std::shared_ptr<const ByteTrie> trie);
  Grammar(const Grammar&) = delete;
  Grammar& operator=(const Grammar&) = delete;

  Frames& frames() { return frames_; }
  LocalStates& locals() { return locals_; }
  Masks& masks() { return masks_; }
  Completion& completion() { return completion_; }
  const ByteTrie& trie() const { return *trie_; }
  const Automaton& automaton() const { return automaton_; }

 private:
  const std::shared_ptr<const ByteTrie> trie_;
  const Automaton automaton_;
  Frames frames_;
  LocalStates locals_;
  Masks masks_;
  Completion completion_;
};

struct MaskOutcome {
  int32_t allowed = 0;
  // Tokens that the grammar would allow were left out: too few tokens remain for what they begin.
  bool narrowed = false;
};

class Matcher {
 public:
  explicit Matcher(std::shared_ptr<Grammar> grammar);

  // Writes [words] bits: the tokens that may follow and after which, with `remaining` - 1 more tokens, the text can still
  // be brought to an end.
  MaskOutcome Mask(uint32_t* bits, int64_t remaining);
  // The next token. False: the grammar does not allow it, and nothing changes.
  bool Accept(int32_t token);
  // Takes back the last `count` tokens. Throws Error(kInvalidOption) when there are not so many.
  void Rollback(size_t count);
  // The text may end here.
  bool CanEnd() const { return now().bottom; }
  // Nothing may follow.
  bool Over() const { return now().heads.empty(); }
  // Tokens of a short way to the end, the first one last. False: there is none that is short enough.
  bool Shortest(std::vector<int32_t>& tokens);
  // Bytes that must follow, whatever is chosen; at most `most`.
  std::string Forced(size_t most);
  // Fewest tokens that spell these, the first one last; none where no tokens do.
  std::vector<int32_t> ForcedTokens(size_t most);
  size_t words() const { return grammar_->trie().words(); }

 private:
  // A place that a token leads to: a local state, and the node below it.
  struct Place {
    int32_t state;
    int32_t below;
    uint64_t key() const {
      return uint64_t{static_cast<uint32_t>(state)} << 32 | static_cast<uint32_t>(below);
    }
  };
  struct PlacedTokens {
    Place place;
    std::vector<int32_t> tokens;
  };
  struct Exit {
    int32_t node;   // of the trie
    int32_t below;  // what follows the rule that ended
  };
  struct TokensBehind {
    std::vector<PlacedTokens> groups;
    uint32_t farthest = 0;  // the largest distance, in bytes, to the end of the text after one of them
  };
  const Heads& now() const { return history_.back(); }
  int OnlyByte(const Heads& heads);
  // `nodes`: those of `source`, as a mask gives them; kept by their number.
  const TokensBehind& Behind(int32_t source, int32_t stack, std::span<const int32_t> nodes);
  bool MaskFreely(uint32_t* bits, int64_t bytes);
  bool MaskWithin(uint32_t* bits, int64_t tokens);
  bool Fits(const Place& place, int64_t tokens);
  bool ShortestFrom(const Place& place, std::vector<int32_t>& tokens);
  void PlacesAfter(int32_t token, std::vector<Place>& places);
  template <typename Tokens>
  void FollowExits(std::vector<Exit> exits, const Tokens& tokens);

  const std::shared_ptr<Grammar> grammar_;
  Stacks stacks_;
  std::vector<Heads> history_;
  std::map<std::array<int32_t, 3>, TokensBehind> behind_;
  std::unordered_map<uint64_t, int64_t> ways_;  // fewest tokens to the end from places, INT64_MAX: none are
  // A way to the end that is short enough, the next token last, while tokens run short.
  std::vector<int32_t> plan_;
  bool planned_ = false;
};

}  // namespace kvasir::grammar
