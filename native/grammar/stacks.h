// What a text has come to: frames, each with the frames that follow it. Stacks that end alike are one node, and a frame
// that was reached on several ways has one node with all of them: the number of frames at once is bounded by the grammar.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "grammar/frames.h"

namespace kvasir::grammar {

// A frame and, in a node, what follows its rule: another node. frame -1: the bottom.
struct Head {
  int32_t frame;
  int32_t stack;
  auto operator<=>(const Head&) const = default;
};

struct HeadsHash {
  size_t operator()(const std::vector<Head>& heads) const;
};

class Stacks {
 public:
  static constexpr int32_t kBottom = 0;

  Stacks();
  const std::vector<Head>& At(int32_t node) const { return nodes_[static_cast<size_t>(node)]; }
  int32_t Push(int32_t frame, int32_t below, const Frames& frames) {
    return Intern({{frame, below}}, frames);
  }
  int32_t Union(int32_t a, int32_t b, const Frames& frames);
  // Least bytes to the bottom.
  uint32_t Distance(int32_t node) const { return distances_[static_cast<size_t>(node)]; }
  size_t size() const { return nodes_.size(); }

 private:
  int32_t Intern(std::vector<Head> heads, const Frames& frames);

  std::vector<std::vector<Head>> nodes_;
  std::vector<uint32_t> distances_;
  std::unordered_map<std::vector<Head>, int32_t, HeadsHash> known_;
};

// Frames that a byte may go on from; sorted, each frame once.
struct Heads {
  std::vector<Head> heads;
  bool bottom = false;  // the bottom may be reached without another byte

  bool dead() const { return heads.empty() && !bottom; }
  uint32_t Distance(const Frames& frames, const Stacks& stacks) const;
};

// Follows calls and ends. Throws LimitError.
Heads Close(Frames& frames, Stacks& stacks, std::vector<Head> open);
Heads Step(Frames& frames, Stacks& stacks, const std::vector<Head>& heads, uint8_t byte);

}  // namespace kvasir::grammar
