// Fibers: stacks that one host thread switches between in a few nanoseconds, known to the sanitizers. Refuses
// exceptions across a switch, and to run on two threads at once.
#pragma once

#include <cstddef>
#include <memory>

namespace cuda_emulation {

class Fiber {
 public:
  using Entry = void (*)();

  // The thread's own stack, to come back to.
  Fiber();
  // A stack of its own that runs `entry`, which never returns, at the first switch to it.
  explicit Fiber(Entry entry);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Leaves `this`, which must be running, for `to`; returns when somebody switches back.
  void SwitchTo(Fiber& to);
  // Forgets what the fiber was doing: `entry` begins again. Not the running one.
  void Restart();

  // For the entry, first of all: completes the switch that led here.
  void Entered();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cuda_emulation
