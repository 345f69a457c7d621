// Many threads: the same bits on a few cores whatever their number, memory that is predicted to the byte, and how many
// barriers a token costs. What more cores than two gain is not measured here.
#include "backend/cpu.h"
#include "backend/cpu/cpu_backend.h"
#include "core/aligned_buffer.h"
#include "runtime/load.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"
#include "testing/transformer_models.h"

namespace kvasir::testing {
namespace {

constexpr int kMostThreads = 64;

std::vector<std::string> Isas() {
  std::vector<std::string> isas;
  for (const cpu::KernelTable* table : OtherKernels()) isas.push_back(table->name);
  if (isas.empty()) isas = {"scalar"};
  return isas;
}

// Rows of equal sequences side by side: a step is as long as it may be, so that each of many threads has blocks of its own.
constexpr int64_t kTokens = 300, kSequences = 7;

Rows PrefillAll(Transformer& transformer, const std::vector<int32_t>& tokens) {
  std::vector<std::pair<int32_t, std::vector<int32_t>>> parts;
  for (int64_t i = 0; i < kSequences; ++i) parts.push_back({transformer.cache().Create(), tokens});
  return Forward(transformer, BatchOf(parts));
}

KV_TEST(transformer_many_threads_give_the_same_bits) {
  for (const ModelKind& kind : {LlamaLike(), WideHeads()}) {
    const RandomContainer container(kind, 7);
    const std::vector<int32_t> tokens = RandomTokens(3, kTokens, kind.spec.vocab_size);
    const Setup one = {Dtype::kInt8, Dtype::kInt8, Isas().back(), 1};
    const std::unique_ptr<Transformer> alone = Load(kind, container, one);
    const Rows expected = Append(*alone, alone->cache().Create(), tokens, 0, kTokens);
    for (const std::string& isa : Isas()) {
      for (const int threads : {1, 2, 7, 16, 33, kMostThreads}) {
        if (threads < kMostThreads && isa != Isas().back()) continue;
        Setup setup = one;
        setup.isa = isa;
        setup.threads = threads;
        const std::unique_ptr<Transformer> t = Load(kind, container, setup);
        const Rows rows = PrefillAll(*t, tokens);
        for (int64_t i = 0; i < kSequences; ++i) {
          const Rows part(rows.begin() + i * kTokens, rows.begin() + (i + 1) * kTokens);
          const std::string difference = RowDifference(part, expected);
          KV_EXPECT_EQ(difference.empty() ? "" : isa + " " + std::to_string(threads) + ": " + difference, "");
        }
        // Decode splits the chunks among threads.
        const int32_t sequence = t->cache().Create();
        Append(*t, sequence, tokens, 0, kTokens - 4);
        for (int64_t i = kTokens - 4; i < kTokens; ++i) {
          KV_EXPECT_EQ(RowDifference(Append(*t, sequence, tokens, i, 1), expected, i), "");
        }
      }
    }
  }
}

// 16 to 32 rows a thread, also where a table wants 64.
KV_TEST(transformer_64_threads_take_blocks_of_their_own) {
  for (const std::string& isa : Isas()) {
    const std::unique_ptr<Backend> backend = MakeCpuBackend(kMostThreads, isa, 256, 64);
    const Traits& traits = backend->traits();
    KV_EXPECT_EQ(traits.step_rows, int64_t{2048});
    std::atomic<int> blocks{0}, lanes_used{0};
    std::atomic<bool> used[kMostThreads] = {};
    backend->ForRowBlocks(traits.step_rows, [&](const RowBlock& block) {
      ++blocks;
      if (!used[block.lane].exchange(true)) ++lanes_used;
      KV_EXPECT(block.count <= (block.lane == 0 ? traits.block_rows : traits.lane_rows));
      KV_EXPECT(block.count >= 16 && block.count <= 36);
    });
    KV_EXPECT(blocks.load() >= kMostThreads);
    KV_EXPECT(lanes_used.load() >= 1);
  }
  KV_EXPECT_EQ(MakeCpuBackend(2, "scalar", 256, 64)->traits().step_rows, int64_t{512});
}

void ExpectPredictedMemory(const ModelKind& kind) {
  const RandomContainer container(kind, 7);
  for (const Dtype dtype : {Dtype::kF32, Dtype::kInt8}) {
    for (const int threads : {1, 2, 7, kMostThreads}) {
      const LoadOptions options = OptionsOf({dtype, dtype, "scalar", threads});
      const MemoryPrediction predicted = PredictMemory(kind.spec, container.canonical(), options);
      const int64_t before = AlignedBuffer::LiveBytes();
      {
        const std::unique_ptr<Transformer> t = LoadTransformer(kind.spec, container.canonical(), options,
                                                               container, CancellationToken(), nullptr);
        const auto held = [&] { return AlignedBuffer::LiveBytes() - before; };
        KV_EXPECT_EQ(held(), predicted.weights + predicted.kv + predicted.scratch);
        KV_EXPECT_EQ(t->scratch_bytes(), predicted.scratch);
        Append(*t, t->cache().Create(), RandomTokens(3, 290, kind.spec.vocab_size), 0, 290);
        KV_EXPECT_EQ(held(), predicted.weights + predicted.kv + predicted.scratch);
      }
      KV_EXPECT_EQ(AlignedBuffer::LiveBytes(), before);
    }
  }
}

KV_TEST(transformer_memory_is_what_was_predicted) {
  for (const ModelKind& kind : {LlamaLike(), BertLike()}) ExpectPredictedMemory(kind);
}

ModelSpec EightBillion() {
  ModelSpec spec = LlamaLikeHalf().spec;
  spec.vocab_size = 128256;
  spec.hidden_size = 4096;
  spec.max_positions = 131072;
  spec.ropes[0].inverse_frequencies.assign(64, 0.5f);
  spec.attentions = {{.n_heads = 32, .n_kv_heads = 8, .head_dim = 128, .rope = 0}};
  spec.feed_forwards[0].size = 14336;
  SetLayers(&spec, 32);
  return spec;
}

KV_TEST(transformer_scratch_of_8b_on_64_threads_is_at_most_512_mb) {
  for (const std::string& isa : Isas()) {
    for (const Dtype dtype : {Dtype::kF32, Dtype::kInt8}) {
      LoadOptions options = OptionsOf({dtype, dtype, isa, kMostThreads, 32768});
      const int64_t at_32k = PredictMemory(EightBillion(), {}, options).scratch;
      KV_EXPECT(at_32k <= int64_t{512} << 20);
      // Of a longer context only the rotary tables are larger.
      options.context_length = 131072;
      options.kv_capacity = 131072;
      const int64_t rope = (131072 - 32768) * 64 * 2 * 4;
      KV_EXPECT_EQ(PredictMemory(EightBillion(), {}, options).scratch - at_32k, rope);
    }
  }
}

int64_t JobsOfDecode(int64_t layers) {
  ModelKind kind = LlamaLike();
  SetLayers(&kind.spec, layers);
  kind.spec.hidden_size = 1024;  // no product is so small that one thread does it
  kind.feed_forward().size = 512;
  const RandomContainer container(kind, 7);
  const std::unique_ptr<Transformer> t = Load(kind, container, {Dtype::kF32, Dtype::kF32, "scalar", 2});
  const int32_t sequence = t->cache().Create();
  Forward(*t, BatchOf({{sequence, {1, 2, 3}}}));
  const auto& backend = static_cast<const cpu::CpuBackend&>(t->backend());
  const int64_t before = backend.jobs();
  Forward(*t, BatchOf({{sequence, {4}}}));
  return backend.jobs() - before;
}

// QKV; attention; output; gate and up; down.
KV_TEST(transformer_decode_has_five_barriers_a_layer) {
  const int64_t three = JobsOfDecode(3);
  KV_EXPECT_EQ(JobsOfDecode(4) - three, int64_t{5});
  KV_EXPECT(three <= 3 * 5 + 1);  // and the logits
}

}  // namespace
}  // namespace kvasir::testing
