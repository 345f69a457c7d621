// Whole models on the CUDA backend (emulated) against the CPU's, with `==` on every logit, in INT8 and FP32: prompts in
// one and in several steps, decode by recorded steps, batches, shared prefixes, and layers on both devices.
#include <algorithm>
#include <map>

#include "backend/cpu.h"
#include "backend/cuda_library.h"
#include "core/error.h"
#include "cuda_emulation.h"
#include "model/graph_support.h"
#include "runtime/load.h"
#include "testing/adapter_cases.h"
#include "testing/cuda_device_array.h"
#include "testing/cuda_pair.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"
#include "testing/random_specs.h"
#include "testing/transformer_models.h"

namespace kvasir::testing {
namespace {

constexpr int64_t kTokens = kSanitized ? 40 : 300;  // beyond one chunk of 256 positions

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const ModelKind& kind : {LlamaLike(), LlamaLikeHalf(), WideHeads(), GptLike()}) {
    cases.push_back({kind, {Dtype::kInt8, Dtype::kInt8}, kind.name + ", int8"});
    cases.push_back({kind, {Dtype::kF32, Dtype::kF32}, kind.name + ", fp32"});
    if (kSanitized) return cases;
  }
  cases.push_back({WideHeads(), {Dtype::kInt8, Dtype::kF32}, "wide heads, int8 with fp32 cache"});
  cases.push_back({LlamaLike(), {Dtype::kInt8, Dtype::kF16}, "llama-like, int8 with fp16 cache"});
  cases.push_back({GptLike(), {Dtype::kF32, Dtype::kF16}, "gpt-like, fp32 with fp16 cache"});
  return cases;
}

template <typename Test>
void ForCases(const Test& test) {
  for (const Case& c : Cases()) WithThreadOrders([&] { test(c); });
}

KV_TEST(cuda_models_equal_the_cpu_in_prefill_and_decode) {
  ForCases([](const Case& c) {
    Pair pair(c);
    // Beyond a chunk goes each precision of one model; nightly every case.
    const bool is_long = IsNightly() || c.kind.name == LlamaLike().name;
    const int64_t n_tokens = is_long ? kTokens : std::min<int64_t>(kTokens, 140);
    const std::vector<int32_t> tokens = RandomTokens(3, n_tokens, c.kind.spec.vocab_size);
    const int32_t on_cpu = pair.cpu->cache().Create(), on_gpu = pair.gpu->cache().Create();
    int64_t done = 0;
    const auto append = [&](int64_t n, const char* what) {
      pair.ExpectEqual(what, BatchOf({{on_cpu, Part(tokens, done, n)}}),
                       BatchOf({{on_gpu, Part(tokens, done, n)}}));
      done += n;
    };
    append(n_tokens - 20, "prompt");
    append(3, "a short step");
    // The first of its shape runs as it is, the second is recorded, the others are replayed; the page and the chunk
    // end on the way.
    while (done < n_tokens) append(1, "decode");
  });
}

KV_TEST(cuda_models_equal_the_cpu_in_batches_and_after_forks) {
  ForCases([](const Case& c) {
    Pair pair(c);
    const std::vector<int32_t> tokens = RandomTokens(4, 120, c.kind.spec.vocab_size);
    std::vector<int32_t> cpu_ids, gpu_ids;
    const auto step = [&](const char* what, const std::vector<std::vector<int32_t>>& parts) {
      std::vector<std::pair<int32_t, std::vector<int32_t>>> cpu_parts, gpu_parts;
      for (size_t i = 0; i < parts.size(); ++i) {
        if (parts[i].empty()) continue;
        cpu_parts.push_back({cpu_ids[i], parts[i]});
        gpu_parts.push_back({gpu_ids[i], parts[i]});
      }
      pair.ExpectEqual(what, BatchOf(cpu_parts), BatchOf(gpu_parts));
    };
    for (int i = 0; i < 3; ++i) {
      cpu_ids.push_back(pair.cpu->cache().Create());
      gpu_ids.push_back(pair.gpu->cache().Create());
    }
    step("prompts", {Part(tokens, 0, 70), Part(tokens, 5, 1), Part(tokens, 9, 33)});
    // A fork in the middle of a page writes to a copy.
    cpu_ids.push_back(pair.cpu->cache().Fork(cpu_ids[0], 66));
    gpu_ids.push_back(pair.gpu->cache().Fork(gpu_ids[0], 66));
    step("a mixed step", {Part(tokens, 70, 1), {}, Part(tokens, 42, 9), Part(tokens, 1, 7)});
    for (int64_t i = 0; i < 5; ++i) {
      step("decode of four", {Part(tokens, 80 + i, 1), Part(tokens, 90 + i, 1), Part(tokens, 100 + i, 1),
                              Part(tokens, 110 + i, 1)});
    }
  });
}

KV_TEST(cuda_models_equal_the_cpu_with_layers_on_both) {
  ForCases([](const Case& c) {
    Pair pair(c, c.kind.spec.n_layers() - 1);
    KV_EXPECT_EQ(static_cast<int64_t>(pair.gpu->stages().size()), 2);
    const std::vector<int32_t> tokens = RandomTokens(5, 50, c.kind.spec.vocab_size);
    const int32_t on_cpu = pair.cpu->cache().Create(), on_gpu = pair.gpu->cache().Create();
    for (int64_t first = 0; first < 50; first += first == 0 ? 45 : 1) {
      const int64_t n = first == 0 ? 45 : 1;
      pair.ExpectEqual("layers on both", BatchOf({{on_cpu, Part(tokens, first, n)}}),
                       BatchOf({{on_gpu, Part(tokens, first, n)}}));
    }
  });
}

bool HeadsAreAlike(const ModelSpec& spec) {
  try {
    CheckGpuSupports(spec);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// Specs drawn over every kind, those that a GPU computes: a prefill, then steps.
KV_TEST(cuda_random_specs_equal_the_cpu) {
  const int64_t specs = kSanitized ? 2 : IsNightly() ? 200 : 12;
  int64_t compared = 0;
  for (int64_t seed = 1; compared < specs; ++seed) {
    const ModelKind kind = RandomKind(static_cast<uint32_t>(seed));
    if (!HeadsAreAlike(kind.spec)) continue;
    ++compared;
    const Dtype dtype = seed % 2 == 0 ? Dtype::kInt8 : Dtype::kF32;
    Pair pair({kind, {dtype, dtype, "", 1, 64}, kind.name});
    const std::vector<int32_t> tokens = RandomTokens(9, 24, kind.spec.vocab_size);
    if (kind.spec.sees_ahead()) {
      pair.ExpectEqualWhole(tokens, {20, 1, 24});
      ExpectNoReports();
      continue;
    }
    const int32_t on_cpu = pair.cpu->cache().Create(), on_gpu = pair.gpu->cache().Create();
    for (int64_t first = 0; first < 24; first += first == 0 ? 20 : 1) {
      const int64_t n = first == 0 ? 20 : 1;
      pair.ExpectEqual("random spec", BatchOf({{on_cpu, Part(tokens, first, n)}}),
                       BatchOf({{on_gpu, Part(tokens, first, n)}}));
    }
    ExpectNoReports();
  }
}

// Sequences that are seen whole, also longer than a step of decoders; with layers on both devices.
KV_TEST(cuda_encoders_equal_the_cpu) {
  for (const ModelKind& kind : {BertLike(), ModernBertLike()}) {
    for (const Dtype dtype : {Dtype::kF32, Dtype::kInt8}) {
      const std::vector<int32_t> tokens = RandomTokens(5, 520, kind.spec.vocab_size);
      for (const int64_t first : {0, 1}) {
        Pair pair({kind, {dtype, dtype}, kind.name}, first);
        pair.ExpectEqualWhole(tokens, {9, 70, 1});
        pair.ExpectEqualWhole(tokens, {1, 1, 1});
        const bool is_long =
            !kSanitized && first == 0 && dtype == Dtype::kInt8 && kind.name == BertLike().name;
        if (is_long) pair.ExpectEqualWhole(tokens, {3, 520});
      }
      ExpectNoReports();
    }
  }
}

// Hidden states beside logits and alone, of all rows and of a few; steps between them are recorded and replayed.
KV_TEST(cuda_hidden_states_equal_the_cpu) {
  for (const Case& c : Cases()) {
    Pair pair(c);
    const int64_t width = c.kind.spec.hidden_size;
    const std::vector<int32_t> tokens = RandomTokens(8, 34, c.kind.spec.vocab_size);
    const auto hidden = [&](Transformer& t, const Batch& batch) {
      Rows rows(batch.wanted.size());
      t.Forward(batch, nullptr, nullptr, [&](const StepRows& step) {
        if (step.hidden == nullptr) return;
        std::vector<float> buffer;
        const float* values = t.backend().HostView(step.hidden, step.count * width, &buffer);
        for (int64_t i = 0; i < step.count; ++i) {
          rows[static_cast<size_t>(step.first + i)].assign(values + i * width, values + (i + 1) * width);
        }
      });
      return rows;
    };
    const int32_t on_cpu = pair.cpu->cache().Create(), on_gpu = pair.gpu->cache().Create();
    for (int64_t first = 0; first < 34; first += first == 0 ? 27 : 1) {
      Batch cpu = BatchOf({{on_cpu, Part(tokens, first, first == 0 ? 27 : 1)}});
      for (WantedRow& row : cpu.wanted)
        row = {row.row, row.row % 3 == 0 && first != 29, first % 2 == 1 || first == 0};
      Batch gpu = cpu;
      gpu.sequences[0].id = on_gpu;
      const std::string difference = RowDifference(hidden(*pair.gpu, gpu), hidden(*pair.cpu, cpu));
      KV_EXPECT_EQ(difference.empty() ? "" : c.name + ", hidden: " + difference, "");
    }
    ExpectNoReports();
  }
}

// Three adapters and none in one batch, with layers on both; prompts, then steps.
// One case with all layers on the device and one with layers on both; nightly all cases, each both ways.
KV_TEST(cuda_adapters_equal_the_cpu) {
  for (const Case& c : Cases()) {
    for (const int64_t first_layer : {int64_t{0}, c.kind.spec.n_layers() - 1}) {
      const std::string sample = first_layer == 0 ? LlamaLike().name + ", int8" : GptLike().name + ", fp32";
      if (!IsNightly() && c.name != sample) continue;
      Pair pair(c, first_layer);
      std::vector<int32_t> ids = {-1}, cpu_ids, gpu_ids;
      for (uint32_t i = 0; i < 3; ++i) {
        const std::vector<AdapterTensor> adapter = RandomAdapter(c.kind.spec, 40 + i, 1 + i);
        ids.push_back(LoadAdapter(*pair.cpu, adapter));
        KV_EXPECT_EQ(LoadAdapter(*pair.gpu, adapter), ids.back());
      }
      for (size_t i = 0; i < 5; ++i) {
        cpu_ids.push_back(pair.cpu->cache().Create());
        gpu_ids.push_back(pair.gpu->cache().Create());
      }
      const std::vector<int32_t> tokens = RandomTokens(8, 60, c.kind.spec.vocab_size);
      for (int64_t step = 0; step < 4; ++step) {
        Batch cpu, gpu;
        for (size_t i = 0; i < 5; ++i) {
          const int64_t n = step == 0 ? 3 + 7 * static_cast<int64_t>(i % 2) : 1;
          const std::vector<int32_t> part = Part(tokens, 11 * static_cast<int64_t>(i) + step, n);
          cpu.sequences.push_back({cpu_ids[i], n, ids[i % 4]});
          gpu.sequences.push_back({gpu_ids[i], n, ids[i % 4]});
          cpu.tokens.insert(cpu.tokens.end(), part.begin(), part.end());
          cpu.wanted.push_back(static_cast<int32_t>(cpu.tokens.size()) - 1);
        }
        gpu.tokens = cpu.tokens;
        gpu.wanted = cpu.wanted;
        pair.ExpectEqual("adapters", cpu, gpu);
      }
      ExpectNoReports();
    }
  }
}

class Collect final : public TapSink {
 public:
  void Record(const std::string& name, const float* values, int64_t rows, int64_t columns) override {
    taps[name].assign(values, values + rows * columns);
  }
  std::map<std::string, std::vector<float>> taps;
};

KV_TEST(cuda_traces_equal_the_cpu) {
  for (const Case& c : Cases()) {
    Pair pair(c);
    const std::vector<int32_t> tokens = RandomTokens(6, 12, c.kind.spec.vocab_size);
    Collect cpu, gpu;
    Forward(*pair.cpu, BatchOf({{pair.cpu->cache().Create(), tokens}}), &cpu);
    Forward(*pair.gpu, BatchOf({{pair.gpu->cache().Create(), tokens}}), &gpu);
    KV_EXPECT_EQ(gpu.taps.size(), cpu.taps.size());
    for (const auto& [name, values] : cpu.taps) {
      const std::string difference = BitDifference(gpu.taps[name], values);
      KV_EXPECT_EQ(difference.empty() ? "" : c.name + ", " + name + difference, "");
    }
    ExpectNoReports();
  }
}

KV_TEST(cuda_cancelled_step_leaves_the_model_usable) {
  const Case c = Cases().front();
  Pair pair(c);
  const std::vector<int32_t> tokens = RandomTokens(7, 10, c.kind.spec.vocab_size);
  const int32_t on_cpu = pair.cpu->cache().Create(), on_gpu = pair.gpu->cache().Create();
  CancellationToken cancelled;
  cancelled.Cancel();
  for (int64_t i = 0; i < 6; ++i) {
    // Also while a step is recorded and while one is replayed.
    KV_EXPECT_THROWS(ErrorCode::kCancelled,
                     Forward(*pair.gpu, BatchOf({{on_gpu, Part(tokens, i, 1)}}), nullptr, &cancelled));
    pair.ExpectEqual("after a cancelled step", BatchOf({{on_cpu, Part(tokens, i, 1)}}),
                     BatchOf({{on_gpu, Part(tokens, i, 1)}}));
  }
  ExpectNoReports();
}

#if defined(KVASIR_CUDA_EMULATION)  // a device takes no orders to fail

// Each refused allocation of a load is an error that says what it was for, and leaves nothing on the device.
KV_TEST(cuda_out_of_memory_while_loading) {
  const Case c = Cases().front();
  const RandomContainer container(c.kind, 7);
  cuda_emulation::ResetDevice();
  int64_t refused = 0;
  for (;; ++refused) {
    KV_EXPECT(refused < 100);
    cuda_emulation::InjectFaults({.allocation = refused + 1});
    try {
      LoadOnGpu(c, container, 0);
      break;
    } catch (const Error& error) {
      KV_EXPECT_EQ(std::string(ErrorCodeName(error.code())), "INSUFFICIENT_MEMORY");
      KV_EXPECT(std::string(error.what()).find(" bytes for ") != std::string::npos);
    }
    KV_EXPECT_EQ(cuda_emulation::AllocatedDeviceMemory(), uint64_t{0});
  }
  KV_EXPECT(refused >= 5);  // tables, weights, cache, activations, rotary tables at least
  cuda_emulation::ResetDevice();
}

void ExpectDeadAndDisposable(const Case& c, const cuda_emulation::Faults& faults) {
  cuda_emulation::ResetDevice();
  {
    Pair pair(c);
    const int32_t id = pair.gpu->cache().Create();
    const Batch one = BatchOf({{id, {1}}});
    for (int i = 0; i < 3; ++i) Forward(*pair.gpu, one);  // the next is a replayed one
    cuda_emulation::InjectFaults(faults);
    KV_EXPECT_THROWS_WITH(ErrorCode::kDeviceUnavailable, "GPU", Forward(*pair.gpu, one));
    KV_EXPECT_THROWS(ErrorCode::kDeviceUnavailable, Forward(*pair.gpu, one));
    KV_EXPECT_EQ(pair.gpu->cache().Length(id), int64_t{3});
  }
  static_cast<void>(cuda_emulation::TakeReports());
  cuda_emulation::ResetDevice();
  Pair pair(c);
  pair.ExpectEqual("after the device is back", BatchOf({{pair.cpu->cache().Create(), {1, 2, 3}}}),
                   BatchOf({{pair.gpu->cache().Create(), {1, 2, 3}}}));
}

KV_TEST(cuda_failures_while_running_are_errors) {
  const Case c = Cases().front();
  ExpectDeadAndDisposable(c, {.launch = 1});
  ExpectDeadAndDisposable(c, {.launch = 9});
  ExpectDeadAndDisposable(c, {.lost = 1});
  ExpectDeadAndDisposable(c, {.lost = 4});
  cuda_emulation::ResetDevice();
}

#endif  // KVASIR_CUDA_EMULATION

}  // namespace
}  // namespace kvasir::testing
