// The deterministic states of an automaton, made when they are reached: sets of its states within one rule. Which rules a
// set calls, and where each goes on afterwards, is said beside it.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "grammar/automaton.h"

namespace kvasir::grammar {

// A called rule and the frame that follows it.
struct Call {
  int32_t start;  // frame
  int32_t after;  // frame
};

// How the configurations of a frame that are in a counted loop count: all alike.
struct FrameCount {
  int32_t loop = -1;  // -1: none is in a loop, or they are in different ones or count differently
  uint32_t least = 0, most = 0;
};

class Frames {
 public:
  explicit Frames(const Automaton& automaton);
  Frames(const Frames&) = delete;
  Frames& operator=(const Frames&) = delete;

  int32_t size() const { return static_cast<int32_t>(frames_.size()); }
  const Automaton& automaton() const { return automaton_; }
  int32_t Start(int32_t rule);
  // -1: no text goes on so. Throws LimitError.
  int32_t Step(int32_t frame, uint8_t byte) {
    const int32_t known = At(frame).next[automaton_.class_of[byte]];
    return known == kUnknown ? MakeStep(frame, automaton_.class_of[byte]) : known;
  }
  // The reference holds until the next call.
  const std::vector<Call>& Calls(int32_t frame);
  // The rule may end here.
  bool Accepts(int32_t frame) const { return At(frame).accepts; }
  // Some byte may follow within the rule itself.
  bool Moves(int32_t frame) const { return At(frame).moves; }
  bool IsCalling(int32_t frame) const { return !At(frame).called.empty(); }
  // Nothing may follow but the end.
  bool OnlyEnds(int32_t frame) const { return !At(frame).moves && At(frame).called.empty(); }
  // Least bytes to the end of the rule.
  uint32_t Distance(int32_t frame) const { return At(frame).distance; }
  // The frame that takes the same texts of at most `bytes` bytes: longer counts are cut.
  int32_t Within(int32_t frame, uint32_t bytes);
  const FrameCount& Count(int32_t frame) const { return At(frame).count; }
  // The same frame with other turns that may follow.
  int32_t WithMost(int32_t frame, uint32_t most);
  const std::vector<Config>& Configs(int32_t frame) const { return At(frame).configs; }
  // Bytes of what is kept.
  size_t bytes() const { return bytes_; }
  int32_t FrameOf(std::vector<Config> open);

 private:
  static constexpr int32_t kUnknown = -2;
  struct Frame {
    std::vector<Config> configs;  // sorted
    std::vector<int32_t> next;    // [classes] frame, -1 or kUnknown
    std::vector<int32_t> called;  // rules, ascending
    std::vector<Call> calls;
    bool calls_known = false, accepts = false, moves = false;
    uint32_t distance = kFar;
    FrameCount count;
  };
  const Frame& At(int32_t frame) const { return frames_[static_cast<size_t>(frame)]; }
  int32_t MakeStep(int32_t frame, uint8_t byte_class);
  void Close(std::vector<Config>& configs);
  void Push(const Config& config);
  int32_t Intern(std::vector<Config> configs);
  FrameCount CountOf(const std::vector<Config>& configs) const;

  struct Hash {
    size_t operator()(const std::vector<Config>& configs) const;
  };
  const Automaton& automaton_;
  std::vector<Frame> frames_;
  std::vector<int32_t> starts_;  // [rules] or -1
  std::unordered_map<std::vector<Config>, int32_t, Hash> known_;
  std::unordered_map<int32_t, int32_t> within_;
  uint32_t within_bytes_ = 0;
  size_t bytes_ = 0;
  // Of Close: what is to be followed, and which states were met with which counts.
  std::vector<Config> work_;
  std::vector<uint32_t> stamp_;  // [states]
  std::vector<std::pair<uint32_t, uint32_t>> counts_;
  std::vector<Config> others_;  // met again with other counts
  uint32_t now_ = 0;
};

// All of it at once, without what leads nowhere. Throws LimitError beyond kMostProductStates.
Dfa Explore(const Automaton& automaton);
Dfa Intersect(const Dfa& a, const Dfa& b);
Dfa Subtract(const Dfa& a, const Dfa& b);

}  // namespace kvasir::grammar
