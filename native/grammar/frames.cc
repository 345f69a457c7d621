#include "grammar/frames.h"

#include <algorithm>

namespace kvasir::grammar {

Frames::Frames(const Automaton& automaton)
    : automaton_(automaton),
      starts_(automaton.entries.size(), -1),
      stamp_(automaton.states.size(), 0),
      counts_(automaton.states.size()) {}

size_t Frames::Hash::operator()(const std::vector<Config>& configs) const {
  uint64_t hash = 0x9E3779B97F4A7C15;
  for (const Config& config : configs) {
    for (const uint64_t part :
         {uint64_t{static_cast<uint32_t>(config.state)}, uint64_t{config.least} << 32 | config.most}) {
      hash = (hash ^ part) * 0xFF51AFD7ED558CCD;
      hash ^= hash >> 32;
    }
  }
  return static_cast<size_t>(hash);
}

void Frames::Push(const Config& config) {
  const auto state = static_cast<size_t>(config.state);
  if (stamp_[state] != now_) {
    stamp_[state] = now_;
    counts_[state] = {config.least, config.most};
  } else if (counts_[state] == std::pair{config.least, config.most}) {
    return;
  } else {
    if (std::find(others_.begin(), others_.end(), config) != others_.end()) return;
    others_.push_back(config);
    if (others_.size() > kMostConfigs)
      throw LimitError("A repetition of the grammar counts in too many ways at once");
  }
  work_.push_back(config);
}

// Follows what takes no byte. What is left are states that take one, call or end.
void Frames::Close(std::vector<Config>& configs) {
  ++now_;
  others_.clear();
  work_.clear();
  for (const Config& config : configs) Push(config);
  configs.clear();
  while (!work_.empty()) {
    const Config config = work_.back();
    work_.pop_back();
    const State& state = automaton_.states[static_cast<size_t>(config.state)];
    if (state.op == Op::kSplit) {
      Push({state.next, config.least, config.most});
      if (state.other >= 0) Push({state.other, config.least, config.most});
    } else if (state.op == Op::kEnter) {
      const Loop& loop = automaton_.loops[static_cast<size_t>(state.other)];
      Push({state.next, loop.least, loop.most});
    } else if (state.op == Op::kLoop) {
      const Loop& loop = automaton_.loops[static_cast<size_t>(state.other)];
      if (config.least == 0) Push({loop.exit, 0, 0});
      if (config.most > 0) {
        const uint32_t most = config.most == kUnbounded ? kUnbounded : config.most - 1;
        Push({loop.body, config.least > 0 ? config.least - 1 : 0, most});
      }
    } else {
      configs.push_back(config);
    }
  }
  if (configs.size() > kMostConfigs) throw LimitError("The grammar is in too many states at once");
  std::sort(configs.begin(), configs.end());
}

int32_t Frames::FrameOf(std::vector<Config> open) {
  Close(open);
  return Intern(std::move(open));
}

FrameCount Frames::CountOf(const std::vector<Config>& configs) const {
  FrameCount count;
  for (const Config& config : configs) {
    const int32_t loop = automaton_.states[static_cast<size_t>(config.state)].loop;
    if (loop < 0) continue;
    if (count.loop < 0) count = {loop, config.least, config.most};
    if (loop != count.loop || config.least != count.least || config.most != count.most) return {};
  }
  return count;
}

int32_t Frames::WithMost(int32_t frame, uint32_t most) {
  std::vector<Config> configs = At(frame).configs;
  for (Config& config : configs) {
    if (automaton_.states[static_cast<size_t>(config.state)].loop >= 0) config.most = most;
  }
  std::sort(configs.begin(), configs.end());
  return Intern(std::move(configs));
}

int32_t Frames::Intern(std::vector<Config> configs) {
  const auto [place, is_new] = known_.try_emplace(configs, size());
  if (!is_new) return place->second;
  if (frames_.size() >= kMostFrames) throw LimitError("The grammar has more than 32,768 sets of states");
  Frame frame;
  for (const Config& config : configs) {
    const State& state = automaton_.states[static_cast<size_t>(config.state)];
    frame.distance = std::min(frame.distance, automaton_.Distance(config));
    if (state.op == Op::kFinal) frame.accepts = true;
    if (state.op == Op::kBytes) frame.moves = true;
    if (state.op == Op::kCall) frame.called.push_back(state.other);
  }
  std::sort(frame.called.begin(), frame.called.end());
  frame.called.erase(std::unique(frame.called.begin(), frame.called.end()), frame.called.end());
  frame.next.assign(frame.moves ? static_cast<size_t>(automaton_.classes) : 0, kUnknown);
  frame.next.resize(static_cast<size_t>(automaton_.classes), -1);
  bytes_ += sizeof(Frame) + 2 * configs.size() * sizeof(Config) + frame.next.size() * sizeof(int32_t);
  frame.count = CountOf(configs);
  frame.configs = std::move(configs);
  frames_.push_back(std::move(frame));
  return size() - 1;
}

int32_t Frames::Start(int32_t rule) {
  int32_t& start = starts_[static_cast<size_t>(rule)];
  if (start < 0) start = FrameOf({{automaton_.entries[static_cast<size_t>(rule)]}});
  return start;
}

int32_t Frames::MakeStep(int32_t frame, uint8_t byte_class) {
  const uint8_t byte = automaton_.byte_of_class[byte_class];
  std::vector<Config> after;
  for (const Config& config : At(frame).configs) {
    const State& state = automaton_.states[static_cast<size_t>(config.state)];
    if (state.op == Op::kBytes && state.low <= byte && byte <= state.high)
      after.push_back({state.next, config.least, config.most});
  }
  const int32_t to = after.empty() ? -1 : FrameOf(std::move(after));
  frames_[static_cast<size_t>(frame)].next[byte_class] = to;
  return to;
}

const std::vector<Call>& Frames::Calls(int32_t frame) {
  if (At(frame).calls_known || At(frame).called.empty()) return At(frame).calls;
  std::vector<Call> calls;
  for (const int32_t rule : std::vector<int32_t>(At(frame).called)) {
    std::vector<Config> after;
    for (const Config& config : At(frame).configs) {
      const State& state = automaton_.states[static_cast<size_t>(config.state)];
      if (state.op == Op::kCall && state.other == rule)
        after.push_back({state.next, config.least, config.most});
    }
    const int32_t start = Start(rule);
    calls.push_back({start, FrameOf(std::move(after))});
  }
  Frame& made = frames_[static_cast<size_t>(frame)];
  made.calls = std::move(calls);
  made.calls_known = true;
  return made.calls;
}

int32_t Frames::Within(int32_t frame, uint32_t bytes) {
  if (automaton_.loops.empty()) return frame;
  if (within_bytes_ != bytes) within_.clear();
  within_bytes_ = bytes;
  if (const auto known = within_.find(frame); known != within_.end()) return known->second;
  std::vector<Config> cut = At(frame).configs;
  bool changed = false;
  for (Config& config : cut) {
    const int32_t loop = automaton_.states[static_cast<size_t>(config.state)].loop;
    if (loop < 0) continue;
    // After the turn that it is in each further one takes some bytes.
    const uint32_t turns = bytes / std::max(1u, automaton_.loops[static_cast<size_t>(loop)].body_length) + 1;
    const Config before = config;
    config.least = std::min(config.least, turns);
    if (config.most > turns) config.most = kUnbounded;
    changed = changed || config != before;
  }
  int32_t to = frame;
  if (changed) {
    std::sort(cut.begin(), cut.end());
    cut.erase(std::unique(cut.begin(), cut.end()), cut.end());
    to = Intern(std::move(cut));
  }
  within_[frame] = to;
  return to;
}

}  // namespace kvasir::grammar
