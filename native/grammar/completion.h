// How a text can be brought to its end: its shortest continuation, and the fewest tokens that spell it.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "grammar/byte_trie.h"
#include "grammar/local_states.h"

namespace kvasir::grammar {

class Completion {
 public:
  Completion(Frames& frames, LocalStates& locals, const ByteTrie& trie)
      : frames_(frames), locals_(locals), trie_(trie) {}

  // A shortest text from heads to the bottom of their stacks. False: it is longer than kLongestCompletion.
  bool Append(const Heads& heads, const Stacks& stacks, std::string& text);
  // From a node to its bottom.
  bool AppendBelow(int32_t node, const Stacks& stacks, std::string& text);
  // The fewest tokens for a text, the first one last. False: no tokens spell it.
  bool Spell(const std::string& text, std::vector<int32_t>& tokens) const;

 private:
  // The next step of a shortest way to the end of a frame's rule.
  struct Way {
    enum class Kind : uint8_t { kEnd, kByte, kCall } kind;
    uint8_t byte = 0;
    int32_t to = -1;     // frame; of a call where it starts
    int32_t after = -1;  // of a call
  };
  const Way& WayOf(int32_t frame);
  bool AppendFrame(int32_t frame, std::string& text);

  Frames& frames_;
  LocalStates& locals_;
  const ByteTrie& trie_;
  std::unordered_map<int32_t, Way> ways_;
};

}  // namespace kvasir::grammar
