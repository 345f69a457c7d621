// How many pages the layers of a model need: the bound of a window against what the cache takes, the plan by hand, and the
// places in a pool.
#include <algorithm>

#include "model/kv_cache.h"
#include "model/kv_layouts.h"
#include "model/kv_tables.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

// Whatever the lengths of steps, a sequence holds no more pages than the bound, and somewhere that many.
KV_TEST(kv_cache_holds_the_pages_of_a_window_and_a_step) {
  for (const int64_t window : {1, 2, 63, 64, 65, 66, 130, 512}) {
    for (const int64_t rows : {1, 2, 63, 64, 65, 512}) {
      const int64_t most = PagesOfWindow(window, rows);
      KvCache cache({{.window = window, .n_pages = most}}, nullptr);
      Random random(static_cast<uint32_t>(window * 1000 + rows));
      const int32_t id = cache.Create();
      int64_t seen = 0;
      for (int64_t i = 0; i < 400 + 2 * window; ++i) {
        const int64_t n = random.Integer(0, 1) == 0 ? rows : random.Integer(1, rows);
        cache.GiveBack(id);
        cache.Reserve(id, n);  // throws where the bound is too low
        cache.Commit(id, n);
        seen = std::max(seen, most - cache.free_pages(0));
      }
      KV_EXPECT_EQ(seen, most);
      cache.Free(id);
      KV_EXPECT_EQ(cache.free_pages(0), most);
    }
  }
}

struct TableCase {
  int64_t window, capacity, context, step_rows;
  int64_t pages, checkpoint_pages;  // 0: all positions
};

// By hand, from the bound in model/kv_tables.h.
KV_TEST(kv_tables_hold_windows_instead_of_contexts) {
  const TableCase cases[] = {
      {512, 32768, 32768, 512, 17 + 8 + 3 * 4, 8 + 3 * 4},     // Gemma 3 270M
      {512, 4 * 32768, 32768, 512, 4 * 37, 4 * 20},            // four such sequences
      {512, 32769, 32768, 512, 2 * 37, 2 * 20},                // and a part of a second one
      {4096, 32768, 32768, 512, 73 + 64 + 3 * 4, 64 + 3 * 4},  // Mistral
      {128, 8192, 8192, 2048, 35 + 4 * 2, 4 * 2},              // checkpoints that share nothing
      {1, 8192, 8192, 512, 9, 0},                              // a row that sees itself alone
      {512, 37 * 64, 37 * 64, 512, 0, 0},                      // as many pages as all positions need
      {512, 38 * 64, 38 * 64, 512, 37, 20},
  };
  for (const TableCase& c : cases) {
    ModelSpec spec;
    spec.attentions = {{.n_heads = 1, .n_kv_heads = 1, .head_dim = 8},
                       {.n_heads = 1, .n_kv_heads = 1, .head_dim = 8, .window = c.window}};
    spec.stack.layers = {{0, 0}, {1, 0}};
    LoadOptions options;
    options.context_length = c.context;
    options.kv_capacity = c.capacity;
    const KvTables kv = KvTablesOf(spec, options, c.step_rows);
    const int64_t all = (c.capacity + 63) / 64;
    KV_EXPECT_EQ(kv.capacity, all * 64);
    KV_EXPECT_EQ(kv.tables[0].n_pages, all);
    KV_EXPECT_EQ(kv.tables.size(), size_t{c.pages > 0 ? 2u : 1u});
    KV_EXPECT_EQ(kv.OfLayer(spec, 1), c.pages > 0 ? 1 : 0);
    KV_EXPECT_EQ(kv.checkpoints, c.pages > 0 ? (c.capacity + c.context - 1) / c.context * 4 : 0);
    if (c.pages == 0) continue;
    KV_EXPECT_EQ(kv.tables[1].window, c.window);
    KV_EXPECT_EQ(kv.tables[1].n_pages, c.pages);
    KV_EXPECT_EQ(kv.tables[1].checkpoint_pages, c.checkpoint_pages);
  }
}

// kv_capacity is rounded up to pages; of a window whose rows attend to later ones too nothing is given back.
KV_TEST(kv_tables_of_few_positions_and_of_both_directions) {
  ModelSpec spec;
  spec.attentions = {{.n_heads = 1, .n_kv_heads = 1, .head_dim = 8, .window = 8, .causal = false}};
  spec.stack.layers = {{0, 0}};
  LoadOptions options;
  for (const auto& [capacity, pages] :
       {std::pair<int64_t, int64_t>{1, 1}, {64, 1}, {65, 2}, {1 << 20, 1 << 14}}) {
    options.context_length = options.kv_capacity = capacity;
    const KvTables kv = KvTablesOf(spec, options, std::min<int64_t>(512, capacity));
    KV_EXPECT_EQ(kv.tables.size(), size_t{1});
    KV_EXPECT_EQ(kv.tables[0].window, 0);
    KV_EXPECT_EQ(kv.tables[0].n_pages, pages);
    KV_EXPECT_EQ(kv.capacity, pages * 64);
  }
}

// A checkpoint of a sequence with a state has one of the states that are kept: without any no page waits for one.
KV_TEST(kv_tables_of_states_have_checkpoints_as_states_are_kept) {
  ModelSpec spec;
  spec.attentions = {{.n_heads = 1, .n_kv_heads = 1, .head_dim = 8, .window = 512}};
  spec.states = {{.taps = 3, .channels = 8}};
  spec.stack.layers = {{-1, 0, 0}, {0, 0}};
  LoadOptions options;
  options.context_length = options.kv_capacity = 32768;
  options.kept_states = 0;
  const KvTables kv = KvTablesOf(spec, options, 512);
  KV_EXPECT_EQ(kv.checkpoints, 0);
  KV_EXPECT_EQ(kv.tables.size(), size_t{1});
  KV_EXPECT_EQ(kv.tables[0].n_pages, 17);
  for (const auto& [states, most] : {std::pair<int64_t, int64_t>{1, 1}, {4, 4}, {9, 4}, {-1, 4}}) {
    options.kept_states = states;
    const KvTables kept = KvTablesOf(spec, options, 512);
    KV_EXPECT_EQ(kept.checkpoints, most);
    KV_EXPECT_EQ(kept.tables[0].n_pages, 17 + 8 + 3 * 4);
    KV_EXPECT(kept.Windows() == std::vector<int64_t>{512});
  }
  const KvLayouts layouts = KvLayoutsOf(spec, Dtype::kInt8, kv, {0, 2});
  KV_EXPECT_EQ(layouts.layers[0].pool, -1);
  KV_EXPECT_EQ(layouts.layers[1].pool, 0);
  KV_EXPECT_EQ(layouts.CheckpointBytes(kv), 0);
  KV_EXPECT_EQ(layouts.Bytes(), 17 * layouts.PageBytes());

  spec.attentions.clear();
  spec.stack.layers = {{-1, 0, 0}};
  const KvTables none = KvTablesOf(spec, options, 512);
  KV_EXPECT_EQ(none.tables.size(), size_t{1});
  KV_EXPECT_EQ(none.tables.at(0).n_pages, 512);
  KV_EXPECT(none.Windows().empty());
  // One slot is small: as many are kept by default as ever are.
  KV_EXPECT_EQ(none.checkpoints, 64);
  options.kept_states = 3;
  KV_EXPECT_EQ(KvTablesOf(spec, options, 512).checkpoints, 3);
  KV_EXPECT_EQ(KvLayoutsOf(spec, Dtype::kInt8, none, {0, 1}).Bytes(), 0);
}

// Every byte of the pool belongs to one head's part of one page, whatever the runs.
KV_TEST(kv_layout_covers_the_pool_once) {
  for (const Dtype dtype : {Dtype::kInt8, Dtype::kF16, Dtype::kF32}) {
    for (const int64_t run : {1, 4}) {
      KvLayout layout = {dtype, 2, 3, 24, 32};
      layout.n_pages = 7;  // the last run is shorter
      layout.run = run;
      std::vector<int> owners(static_cast<size_t>(layout.PoolBytes()));
      const auto own = [&](int64_t begin, int64_t bytes) {
        for (int64_t i = begin; i < begin + bytes; ++i) ++owners.at(static_cast<size_t>(i));
      };
      for (int64_t page = 0; page < layout.n_pages; ++page) {
        for (int64_t part = 0; part < layout.n_layers * layout.n_kv_heads; ++part) {
          const int64_t layer = part / layout.n_kv_heads, head = part % layout.n_kv_heads;
          const KvPlace place = layout.Place(page, layer, head);
          own(place.k, layout.HeadBytes());
          own(place.v, layout.HeadBytes());
          own(place.k_scales, layout.HeadScaleBytes());
          own(place.v_scales, layout.HeadScaleBytes());
          if (page % run == 0) continue;
          const KvPlace before = layout.Place(page - 1, layer, head);
          KV_EXPECT_EQ(place.k, before.k + layout.HeadBytes());
          KV_EXPECT_EQ(place.v_scales, before.v_scales + layout.HeadScaleBytes());
        }
      }
      for (const int owner : owners) KV_EXPECT_EQ(owner, 1);
    }
  }
}

}  // namespace
}  // namespace kvasir::testing
