// A window into the graph that generates: when a sink is set, each intermediate tensor is shown to it as it is
// computed. Without one the graph pays a branch an op. Sinks copy; they never write.
#pragma once

#include <cstdint>
#include <string>

namespace kvasir {

class TapSink {
 public:
  virtual ~TapSink() = default;
  // Whether it keeps a tensor whose name ends in `op`: what costs more than a copy is made for those alone.
  virtual bool Wants(const std::string& /*op*/) const { return true; }
  // An op has run since the last call of this or Resume; `bytes` it wrote. What showing it takes ends with Resume.
  virtual void Ran(const std::string& /*name*/, int64_t /*bytes*/) {}
  virtual void Resume() {}
  // values [rows, columns] f32. Names: "token_embed", "embed", "layers.N.<op>", "final_norm",
  // "logits"; see transformer.cc.
  virtual void Record(const std::string& name, const float* values, int64_t rows, int64_t columns) = 0;
};

}  // namespace kvasir
