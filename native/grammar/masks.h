// Which tokens may follow. What a frame allows by itself is walked once and kept, whatever surrounds it; frames that differ
// only in how often a loop may still turn share one walk. Only where a token goes beyond the frame's rule is what follows it
// asked.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "grammar/byte_trie.h"
#include "grammar/grouping.h"
#include "grammar/local_states.h"

namespace kvasir::grammar {

struct FrameMask {
  std::vector<uint32_t> bits;   // [words], or empty where `tokens` is shorter
  std::vector<int32_t> tokens;  // of a sparse mask
  std::vector<int32_t> exits;   // nodes of the trie with children, at which the rule may have ended
  uint32_t farthest = 0;        // the largest distance, in bytes, to the end of the rule after a token
  int32_t source = -1;          // frames with one source and as many exits have the same exits
  size_t bytes = 0;
};

// Of the same: tokens by where they lead.
struct FrameGroups {
  std::span<const TokenGroup> groups;
  std::span<const int32_t> exits;
  int32_t source;
};

class Masks {
 public:
  Masks(Frames& frames, LocalStates& locals, const ByteTrie& trie)
      : frames_(frames), locals_(locals), trie_(trie) {}

  // Kept until the next call of either.
  const FrameMask& Of(int32_t frame);
  FrameGroups Grouped(int32_t frame);

 private:
  // A frame's grouping, and of its turns those that the frame may take.
  struct Counted {
    const Grouping* grouping = nullptr;  // none: it counts in no way that frames could share
    uint32_t most = 0;
    int32_t source = -1;
  };
  Counted CountedOf(int32_t frame);
  const Grouping& GroupingOf(int32_t frame);
  // From a walk; without what ends within `beyond` bytes.
  void Make(int32_t frame, uint32_t beyond, FrameMask& mask);
  // Of a frame in a loop, from that of as many turns as one likes: short tokens take too few of them to tell.
  bool MakeFromEndless(int32_t frame, FrameMask& mask);
  void MakeCounted(const Counted& counted, FrameMask& mask);
  void MakeRoom();
  const FrameMask& Find(int32_t frame);
  void Pack(FrameMask& mask);

  Frames& frames_;
  LocalStates& locals_;
  const ByteTrie& trie_;
  std::unordered_map<int32_t, FrameMask> known_;
  std::unordered_map<int32_t, Grouping> groupings_;
  size_t bytes_ = 0;
};

}  // namespace kvasir::grammar
