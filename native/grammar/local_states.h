// States of a text relative to a frame whose surroundings are not known: what a walk over the vocabulary goes through. They
// are numbered and their steps kept, so that later walks only look up.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "grammar/byte_trie.h"
#include "grammar/stacks.h"

namespace kvasir::grammar {

class LocalStates {
 public:
  static constexpr int32_t kDead = -1;

  explicit LocalStates(Frames& frames)
      : frames_(frames),
        class_of_(frames.automaton().class_of),
        classes_(static_cast<size_t>(frames.automaton().classes)) {}
  LocalStates(const LocalStates&) = delete;
  LocalStates& operator=(const LocalStates&) = delete;

  // The bytes of a frame's own rule, without its calls and its end.
  int32_t Raw(int32_t frame);
  // A frame with its calls and its end.
  int32_t Closed(int32_t frame);
  int32_t Step(int32_t state, uint8_t byte) {
    const int32_t known = next_[static_cast<size_t>(state) * classes_ + class_of_[byte]];
    return known == kUnknown ? MakeStep(state, byte) : known;
  }
  // The frame's rule may end here, and what follows it goes on.
  bool Exits(int32_t state) const { return states_[static_cast<size_t>(state)].exits; }
  // It goes on within, by some byte.
  bool Goes(int32_t state) const { return states_[static_cast<size_t>(state)].goes; }
  // Least bytes to the end of the frame's rule.
  uint32_t Distance(int32_t state) const { return states_[static_cast<size_t>(state)].distance; }
  // Bytes that lead back to the state itself: kinds that do so as a whole.
  ByteKinds Absorbed(int32_t state) {
    const LocalState& known = states_[static_cast<size_t>(state)];
    return known.absorbed_known ? known.absorbed : FindAbsorbed(state);
  }
  const Heads& At(int32_t state) const { return heads_[static_cast<size_t>(state)]; }
  const Stacks& stacks() const { return stacks_; }
  size_t size() const { return states_.size(); }

 private:
  static constexpr int32_t kUnknown = -2;
  struct LocalState {
    uint32_t distance;
    bool exits, goes, absorbed_known = false;
    ByteKinds absorbed = 0;
  };
  int32_t MakeStep(int32_t state, uint8_t byte);
  ByteKinds FindAbsorbed(int32_t state);
  int32_t Intern(Heads heads);

  Frames& frames_;
  const std::array<uint8_t, 256> class_of_;
  const size_t classes_;
  Stacks stacks_;
  std::vector<LocalState> states_;
  std::vector<int32_t> next_;  // [states, classes]
  std::vector<Heads> heads_;   // [states]
  std::unordered_map<std::vector<Head>, int32_t, HeadsHash> known_;
  std::unordered_map<int32_t, int32_t> raw_, closed_;
};

}  // namespace kvasir::grammar
