// LoRA adapters: what they add is what the float64 model adds, and a sequence's bits do not depend on the adapters of its
// neighbours.
#include <algorithm>
#include <cmath>

#include "core/aligned_buffer.h"
#include "runtime/load.h"
#include "testing/adapter_cases.h"
#include "testing/float64_distance.h"
#include "testing/native_tests.h"
#include "testing/random_specs.h"
#include "testing/transformer_reference.h"

namespace kvasir::testing {
namespace {

Rows AppendWith(Transformer& t, int32_t adapter, const std::vector<int32_t>& tokens, int32_t sequence) {
  Batch batch = BatchOf({{sequence, tokens}});
  batch.sequences[0].adapter = adapter;
  return Forward(t, batch);
}

// Random specs with random adapters, in FP32: within the tolerance, with bits that do not depend on the cut of the work.
KV_TEST(transformer_adapters_are_those_of_the_float64_transformer) {
  const int64_t specs = kSanitized ? 3 : IsNightly() ? 150 : 20;
  for (int64_t seed = 1; seed <= specs; ++seed) {
    const auto seed32 = static_cast<uint32_t>(seed);
    const ModelKind kind = RandomKind(seed32);
    const RandomContainer container(kind, seed32 + 1000);
    const std::vector<int32_t> tokens = RandomTokens(seed32, 40, kind.spec.vocab_size);
    const std::vector<AdapterTensor> adapter = RandomAdapter(kind.spec, seed32 + 5, 3);
    const auto expected = Float64Model(kind, container, 64, &adapter).Outputs(tokens);
    const std::unique_ptr<Transformer> t = Load(kind, container, {.threads = 2, .context_length = 64});
    const int32_t id = LoadAdapter(*t, adapter);
    const Rows rows = AppendWith(*t, id, tokens, t->cache().Create());
    const double tolerance =
        Sensitivity(kind, container, tokens, expected, 64, &adapter) * SumError(kind.spec);
    const bool is_near = DistanceOf(rows, expected).largest <= tolerance;
    KV_EXPECT_EQ(
        kind.name +
            (is_near ? "" : " is off by " + std::to_string(DistanceOf(rows, expected).largest / tolerance)),
        kind.name);
    if (kind.spec.sees_ahead()) {
      Batch beside = BatchOf({{t->cache().Create(), {1, 2, 3}}, {t->cache().Create(), tokens}});
      beside.sequences[1].adapter = id;
      const Rows both = Forward(*t, beside);
      KV_EXPECT_EQ(kind.name + RowDifference({both.begin() + 3, both.end()}, rows), kind.name);
      continue;
    }
    const int32_t stepped = t->cache().Create();
    for (int64_t i = 0; i < 40; i += 7) {
      const int64_t n = std::min<int64_t>(7, 40 - i);
      const Rows some = AppendWith(*t, id, {tokens.begin() + i, tokens.begin() + i + n}, stepped);
      KV_EXPECT_EQ(kind.name + RowDifference(some, rows, i), kind.name);
    }
  }
}

// Bytes, of adapters of several ranks at once and of what stays when some are gone.
KV_TEST(transformer_memory_of_adapters_is_what_was_predicted) {
  for (ModelKind kind : {LlamaLike(), GptLike(), BertLike(), RandomKind(3)}) {
    const RandomContainer container(kind, 7);
    // Blocks of 16 threads are as long as steps let them be: seen whole, those of 704 tokens.
    const int64_t context = std::min<int64_t>(kind.spec.sees_ahead() ? 704 : 64, kind.spec.max_positions);
    for (const Dtype dtype : {Dtype::kF32, Dtype::kInt8}) {
      for (const int threads : {1, 7, 16}) {
        LoadOptions options = OptionsOf({dtype, dtype, "scalar", threads, context});
        options.keep_fp32 = {"layers.0.o", "embed.tokens"};
        std::vector<std::vector<AdapterTensor>> adapters;
        std::vector<std::vector<AdapterShape>> shapes;
        for (const uint32_t seed : {1u, 2u}) {
          adapters.push_back(
              RandomAdapter(kind.spec, seed, seed));  // the first has all linears, a tied head too
          shapes.emplace_back();
          for (const AdapterTensor& one : adapters.back()) shapes.back().push_back({one.name, one.rank});
        }
        const MemoryPrediction predicted = PredictMemory(kind.spec, container.canonical(), options, shapes);
        const int64_t without = predicted.weights + predicted.kv + predicted.scratch;
        KV_EXPECT_EQ(PredictMemory(kind.spec, container.canonical(), options).adapters, int64_t{0});
        const int64_t before = AlignedBuffer::LiveBytes();
        const std::unique_ptr<Transformer> t = LoadTransformer(kind.spec, container.canonical(), options,
                                                               container, CancellationToken(), nullptr);
        const auto held = [&] { return AlignedBuffer::LiveBytes() - before; };
        std::vector<int32_t> ids;
        for (const auto& adapter : adapters) ids.push_back(LoadAdapter(*t, adapter));
        KV_EXPECT_EQ(t->adapter_bytes(), predicted.adapters);
        KV_EXPECT_EQ(held(), without + predicted.adapters);
        for (const int32_t id : ids) t->FreeAdapter(id);
        KV_EXPECT_EQ(held(), without);
      }
    }
  }
}

KV_TEST(transformer_memory_of_adapters_that_cannot_be_is_refused) {
  const ModelKind kind = LlamaLike();
  const RandomContainer container(kind, 7);
  const LoadOptions options = OptionsOf({Dtype::kF32, Dtype::kF32, "scalar", 1, 64});
  const auto predict = [&](const std::string& name, int64_t rank) {
    const std::vector<AdapterShape> adapter = {{name, rank}};
    return PredictMemory(kind.spec, container.canonical(), options, {adapter});
  };
  KV_EXPECT(predict("layers.0.q", 512).adapters > predict("layers.0.q", 1).adapters);
  KV_EXPECT_THROWS(ErrorCode::kInvalidOption, predict("layers.0.q", 513));
  KV_EXPECT_THROWS(ErrorCode::kInvalidOption, predict("layers.0.q", 0));
  KV_EXPECT_THROWS(ErrorCode::kInvalidOption, predict("embed.tokens", 1));
  KV_EXPECT_THROWS(ErrorCode::kInvalidOption, predict("layers.9.q", 1));
}

struct AdaptedAlone {
  std::string name;
  std::vector<int32_t> tokens;
  std::vector<std::vector<AdapterTensor>> adapters;
  std::vector<Rows> rows;  // with each adapter, and with none
};

AdaptedAlone EachAlone(const ModelKind& kind, Transformer& one, int64_t n_tokens) {
  AdaptedAlone alone = {kind.name, RandomTokens(3, n_tokens, kind.spec.vocab_size), {}, {}};
  for (uint32_t i = 0; i < 4; ++i) {
    alone.adapters.push_back(RandomAdapter(kind.spec, 50 + i, 1 + i));
    const int32_t id = LoadAdapter(one, alone.adapters.back());
    alone.rows.push_back(AppendWith(one, id, alone.tokens, one.cache().Create()));
    one.FreeAdapter(id);
  }
  alone.rows.push_back(AppendWith(one, -1, alone.tokens, one.cache().Create()));
  for (size_t i = 0; i < 4; ++i) KV_EXPECT(RowDifference(alone.rows[i], alone.rows[4], 0) != "");
  return alone;
}

constexpr size_t kAdapterOfSequence[] = {0, 1, 4, 2, 0, 3, 3, 1};

// One step of some of the sequences, whose lengths grow: all rows, or `last` ones alone.
void ExpectStepEqual(const AdaptedAlone& alone, Transformer& t, const std::vector<int32_t>& ids, bool last,
                     std::vector<int64_t>* lengths, Random* random) {
  const auto n_tokens = static_cast<int64_t>(alone.tokens.size());
  std::vector<std::pair<int32_t, std::vector<int32_t>>> parts;
  std::vector<size_t> members;
  for (size_t i = 0; i < 8; ++i) {
    const int64_t length = (*lengths)[i];
    const int64_t n = std::min(n_tokens - length, random->Integer(0, 2) == 0 ? 25 : random->Integer(0, 2));
    if (n == 0) continue;
    const auto begin = alone.tokens.begin() + length;
    parts.push_back({static_cast<int32_t>(i), {begin, begin + n}});
    members.push_back(i);
  }
  if (parts.empty()) return;
  Batch batch = BatchOf(parts);
  for (size_t i = 0; i < members.size(); ++i)
    batch.sequences[i].adapter = ids[kAdapterOfSequence[members[i]]];
  if (last) {
    batch.wanted.clear();
    int32_t row = -1;
    for (const auto& part : parts) batch.wanted.push_back(row += static_cast<int32_t>(part.second.size()));
  }
  const Rows rows = Forward(t, batch);
  auto row = rows.begin();
  for (size_t i = 0; i < members.size(); ++i) {
    const auto n = static_cast<int64_t>(parts[i].second.size()), given = last ? 1 : n;
    int64_t& length = (*lengths)[members[i]];
    length += n;
    const Rows& expected = alone.rows[kAdapterOfSequence[members[i]]];
    KV_EXPECT_EQ(alone.name + RowDifference(Rows(row, row + given), expected, length - given), alone.name);
    row += given;
  }
}

// Eight sequences with four adapters and none, some on more linears than others, prompts beside decode steps; now and then
// the last rows alone, where the last layer leaves the others out.
KV_TEST(transformer_adapters_of_a_batch_equal_each_alone) {
  constexpr int64_t kTokens = kSanitized ? 24 : 70;
  for (const ModelKind& kind : {LlamaLike(), WideHeads(), GptLike()}) {
    for (const Dtype dtype : {Dtype::kF32, Dtype::kInt8}) {
      const RandomContainer container(kind, 7);
      const AdaptedAlone alone = EachAlone(kind, *Load(kind, container, {dtype, dtype, "", 1, 128}), kTokens);
      for (const int threads : {1, 3}) {
        const std::unique_ptr<Transformer> t = Load(kind, container, {dtype, dtype, "", threads, 128});
        std::vector<int32_t> ids;
        for (const auto& adapter : alone.adapters) ids.push_back(LoadAdapter(*t, adapter));
        ids.push_back(-1);
        for (int32_t i = 0; i < 8; ++i) KV_EXPECT_EQ(t->cache().Create(), i);
        std::vector<int64_t> lengths(8, 0);
        Random random(9);
        for (int step = 0; step < 8; ++step) {
          ExpectStepEqual(alone, *t, ids, step % 3 == 2, &lengths, &random);
        }
        KV_EXPECT(*std::max_element(lengths.begin(), lengths.end()) == kTokens);
      }
    }
  }
}

KV_TEST(transformer_adapters_in_int8_are_near_the_float64_transformer) {
  for (const ModelKind& kind : {LlamaLike(), GptLike()}) {
    const RandomContainer container(kind, 17);
    const std::vector<int32_t> tokens = RandomTokens(18, 40, kind.spec.vocab_size);
    const std::vector<AdapterTensor> adapter = RandomAdapter(kind.spec, 4, 1);
    const auto expected = Float64Model(kind, container, 64, &adapter).Logits(tokens);
    const std::unique_ptr<Transformer> t = Load(kind, container, {Dtype::kInt8, Dtype::kInt8, "", 1, 64});
    const Rows with = AppendWith(*t, LoadAdapter(*t, adapter), tokens, t->cache().Create());
    const Rows without = AppendWith(*t, -1, tokens, t->cache().Create());
    const Distance d = DistanceOf(with, expected);
    KV_EXPECT(d.rms < 0.05 * d.rms_expected);
    KV_EXPECT(DistanceOf(without, expected).rms > 0.2 * d.rms_expected);
  }
}

// An adapter of a stacked linear is one of each of its parts with the same A.
KV_TEST(transformer_adapter_of_a_stack_equals_those_of_its_parts) {
  const ModelKind kind = LlamaLike();
  const RandomContainer container(kind, 7);
  const std::unique_ptr<Transformer> t = Load(kind, container, {});
  const AdapterTensor whole =
      RandomAdapterTensor("layers.1.qkv", 5, kind.spec.hidden_size, kind.spec.qkv_size(), 3);
  std::vector<AdapterTensor> parts;
  auto row = whole.b.begin();
  const int64_t q = kind.spec.attentions[0].q_size(), kv = kind.spec.attentions[0].kv_size();
  for (const auto& [name, rows] :
       {std::pair("layers.1.q", q), std::pair("layers.1.k", kv), std::pair("layers.1.v", kv)}) {
    const auto end = row + rows * whole.rank;
    parts.push_back({name, whole.rank, whole.a, {row, end}, whole.scale});
    row = end;
  }
  const std::vector<int32_t> tokens = RandomTokens(5, 20, kind.spec.vocab_size);
  const Rows expected = AppendWith(*t, LoadAdapter(*t, {whole}), tokens, t->cache().Create());
  KV_EXPECT_EQ(
      RowDifference(AppendWith(*t, LoadAdapter(*t, parts), tokens, t->cache().Create()), expected, 0), "");
}

KV_TEST(transformer_adapters_that_do_not_fit_are_refused) {
  const ModelKind kind = LlamaLike();
  const RandomContainer container(kind, 7);
  const std::unique_ptr<Transformer> t = Load(kind, container, {});
  const int64_t hidden = kind.spec.hidden_size, q = kind.spec.attentions[0].q_size();
  const int64_t before = AlignedBuffer::LiveBytes();
  const auto refused = [&](const char* fragment, std::vector<AdapterTensor> tensors) {
    KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, fragment, LoadAdapter(*t, tensors));
    KV_EXPECT_EQ(AlignedBuffer::LiveBytes(), before);
  };
  const AdapterTensor good = RandomAdapterTensor("layers.0.q", 2, hidden, q, 1);
  const auto changed = [&](const auto& change) {
    AdapterTensor tensor = good;
    change(tensor);
    return tensor;
  };
  refused("no tensors", {});
  refused("no linear", {changed([](AdapterTensor& a) { a.name = "layers.9.q"; })});
  refused("no linear", {changed([](AdapterTensor& a) { a.name = "layers.0.attn_norm.weight"; })});
  refused("cannot change", {changed([](AdapterTensor& a) { a.name = "embed.tokens"; })});
  refused("rank 0", {changed([](AdapterTensor& a) { a.rank = 0; })});
  refused("rank 513", {changed([](AdapterTensor& a) { a.rank = 513; })});
  refused("values of A", {changed([](AdapterTensor& a) { a.a.pop_back(); })});
  refused("values of B", {changed([](AdapterTensor& a) { a.b.push_back(0); })});
  refused("not a number", {changed([](AdapterTensor& a) { a.a[3] = NAN; })});
  refused("not a number", {changed([](AdapterTensor& a) { a.b[3] = INFINITY; })});
  refused("scale", {changed([](AdapterTensor& a) { a.scale = NAN; })});
  refused("twice", {good, good});
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "no adapter 0", t->FreeAdapter(0));
  const int32_t id = LoadAdapter(*t, {good});
  KV_EXPECT(AlignedBuffer::LiveBytes() > before);
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "adapters", t->Borrow(*t, {}));
  const int32_t sequence = t->cache().Create();
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "no adapter", AppendWith(*t, id + 1, {1, 2}, sequence));
  KV_EXPECT_EQ(t->cache().Length(sequence), 0);
  AppendWith(*t, id, {1, 2}, sequence);
  t->FreeAdapter(id);
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "no adapter", AppendWith(*t, id, {1, 2}, sequence));
  KV_EXPECT_EQ(AlignedBuffer::LiveBytes(), before);
  KV_EXPECT(LoadAdapter(*t, {good}) != id);
}

}  // namespace
}  // namespace kvasir::testing
