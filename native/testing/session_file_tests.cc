// Sequences in files: what is restored goes on with the bits of what was never away, in every dtype of the cache, with
// windows and states; what was cut, changed, or is another model's is refused and leaves nothing.
#include <fstream>
#include <iterator>

#include "runtime/session_file.h"
#include "testing/io_files.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"
#include "testing/transformer_models.h"

namespace kvasir::testing {
namespace {

constexpr int64_t kKept = kSanitized ? 150 : 500;
constexpr int64_t kMore = 20;
const std::string kText = "{\"a\":1}";

// Windows of 40 and 130 beside layers that see all: three tables.
ModelKind Windowed() {
  ModelKind kind = LlamaLike();
  kind.name = "windows";
  kind.spec.max_positions = 32768;
  for (const int64_t window : {40, 130}) {
    kind.spec.attentions.push_back(kind.attention());
    kind.spec.attentions.back().window = window;
  }
  kind.spec.stack.layers = {{1, 0}, {2, 0}, {0, 0}, {1, 0}};
  return kind;
}

std::string BytesOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

struct Subject {
  ModelKind kind;
  Setup setup;
  RandomContainer container = RandomContainer(kind, 7);
  std::vector<int32_t> tokens = RandomTokens(3, kKept + kMore, kind.spec.vocab_size);
  TemporaryFolder folder;
  std::string path = folder.path() + "/a.session";
  std::unique_ptr<Transformer> model = Fresh();
  int32_t sequence = model->cache().Create();

  Subject(const ModelKind& a_kind, const Setup& a_setup) : kind(a_kind), setup(a_setup) {
    Append(*model, sequence, tokens, 0, kKept);
  }
  std::unique_ptr<Transformer> Fresh(uint32_t seed = 7) const {
    return Load(kind, seed == 7 ? container : RandomContainer(kind, seed), setup);
  }
  int64_t Save() { return WriteSessionFile(model.get(), sequence, kText, path); }
};

void ExpectGoesOn(Subject& subject, Transformer& restored, const std::string& name) {
  KV_EXPECT_EQ(ReadSessionText(subject.path).positions, kKept);
  KV_EXPECT_EQ(ReadSessionText(subject.path).text, kText + " ");
  const int32_t sequence = RestoreFromSessionFile(&restored, subject.path);
  KV_EXPECT_EQ(restored.cache().Length(sequence), kKept);
  const Rows expected = Append(*subject.model, subject.sequence, subject.tokens, kKept, kMore);
  const Rows rows = Append(restored, sequence, subject.tokens, kKept, kMore);
  KV_EXPECT_EQ(name + RowDifference(rows, expected), name);
  restored.cache().Free(sequence);
  for (int64_t table = 0; table < restored.cache().n_tables(); ++table) {
    KV_EXPECT_EQ(restored.cache().free_pages(table), restored.cache().table(table).n_pages);
  }
  KV_EXPECT_EQ(restored.cache().free_states(), restored.cache().state_slots());
}

KV_TEST(session_files_go_on_with_the_same_bits) {
  for (const ModelKind& kind : {LlamaLike(), GptLike(), Windowed(), ShortConvLike(), DeltaNetLike()}) {
    for (const Dtype kv : {Dtype::kF32, Dtype::kF16, Dtype::kInt8}) {
      const Dtype dtype = kv == Dtype::kF16 ? Dtype::kInt8 : kv;
      const int64_t context = kind.name == "windows" ? 8192 : 704;
      Subject subject(kind, {dtype, kv, "", 2, context, 2 * context});
      const auto size = subject.Save();
      KV_EXPECT_EQ(static_cast<int64_t>(BytesOf(subject.path).size()), size);
      const std::unique_ptr<Transformer> restored = subject.Fresh();
      ExpectGoesOn(subject, *restored, kind.name + ", cache " + std::to_string(static_cast<int>(kv)));
    }
  }
}

KV_TEST(session_files_without_a_sequence_hold_their_text) {
  Subject subject(LlamaLike(), {Dtype::kF32, Dtype::kF32});
  WriteSessionFile(subject.model.get(), kNoSequence, kText, subject.path);
  KV_EXPECT_EQ(ReadSessionText(subject.path).positions, int64_t{0});
  KV_EXPECT_EQ(ReadSessionText(subject.path).text, kText + " ");
  KV_EXPECT_THROWS_WITH(ErrorCode::kModelFormat, "no sequence",
                        RestoreFromSessionFile(subject.model.get(), subject.path));
}

// Each byte of the head and the text, bytes all over the cache, and every way to cut.
KV_TEST(session_files_that_were_changed_or_cut_are_refused) {
  Subject subject(LlamaLike(), {Dtype::kInt8, Dtype::kInt8});
  subject.Save();
  const std::string whole = BytesOf(subject.path);
  const int64_t pages = subject.model->cache().free_pages(0);
  const auto expect_refused = [&](const std::string& bytes, const std::string& what) {
    const std::string path = subject.folder.Write("b.session", bytes);
    ErrorCode code = ErrorCode::kInternal;
    try {
      RestoreFromSessionFile(subject.model.get(), path);
      KV_EXPECT_EQ(what + " is taken", "");
    } catch (const Error& error) {
      code = error.code();
    }
    KV_EXPECT_EQ(what + ": " + ErrorCodeName(code), what + ": " + ErrorCodeName(ErrorCode::kModelFormat));
    KV_EXPECT_EQ(subject.model->cache().free_pages(0), pages);
  };
  for (size_t i = 0; i < whole.size(); i += i < 80 ? 1 : whole.size() / 40) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ (1 << (i % 8)));
    expect_refused(changed, "byte " + std::to_string(i));
  }
  for (size_t size : {size_t{0}, size_t{7}, size_t{71}, size_t{72}, size_t{79}, size_t{80}, whole.size() / 2,
                      whole.size() - 1}) {
    expect_refused(whole.substr(0, size), "the first " + std::to_string(size) + " bytes");
  }
  expect_refused(whole + "x", "one byte more");
  KV_EXPECT_THROWS_WITH(ErrorCode::kModelNotFound, "", ReadSessionText(subject.folder.path() + "/none"));
}

KV_TEST(session_files_of_another_model_are_refused) {
  Subject subject(LlamaLike(), {Dtype::kInt8, Dtype::kInt8});
  subject.Save();
  const std::unique_ptr<Transformer> other = subject.Fresh(8);
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "weights",
                        RestoreFromSessionFile(other.get(), subject.path));
  subject.setup.kv_dtype = Dtype::kF32;
  const std::unique_ptr<Transformer> wider = subject.Fresh();
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "kvDtype",
                        RestoreFromSessionFile(wider.get(), subject.path));
  subject.setup = {Dtype::kInt8, Dtype::kInt8, "", 1, 128, 128};
  const std::unique_ptr<Transformer> smaller = subject.Fresh();
  KV_EXPECT_THROWS_WITH(ErrorCode::kContextOverflow, "full",
                        RestoreFromSessionFile(smaller.get(), subject.path));
  KV_EXPECT_EQ(smaller->cache().free_pages(0), int64_t{2});
}

// Keys of short contexts have other frequencies than those of long ones.
KV_TEST(session_files_know_the_context_that_their_frequencies_are_for) {
  ModelKind kind = LlamaLike();
  for (RopeSpec& rope : kind.spec.ropes) {
    rope.long_beyond = 600;
    rope.long_inverse_frequencies = rope.inverse_frequencies;
    rope.long_inverse_frequencies[0] /= 3;
  }
  Subject subject(kind, {Dtype::kF32, Dtype::kF32});
  subject.Save();
  subject.setup.context_length = 704 + 1;
  RestoreFromSessionFile(subject.Fresh().get(), subject.path);
  subject.setup.context_length = 600;
  const std::unique_ptr<Transformer> shorter = subject.Fresh();
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "contextLength",
                        RestoreFromSessionFile(shorter.get(), subject.path));
}

}  // namespace
}  // namespace kvasir::testing
