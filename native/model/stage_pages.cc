// A stage's part of a sequence as bytes: pages of its layers, and their states. A page lies there as in a pool whose runs
// are of one page (KvLayout), whatever the runs here are: of each layer K and V of each kv head, then their scales.
#include <cstring>

#include "model/stage.h"

namespace kvasir {

namespace {

// A page of `layout` by itself.
KvLayout OnePage(KvLayout layout) {
  layout.run = 1;
  layout.n_pages = 1;
  return layout;
}

// fn(place here, place in the page alone, bytes) of each piece of a page that lies in one stretch.
template <typename Fn>
void ForPieces(const KvLayout& layout, int32_t page, const Fn& fn) {
  if (layout.run == 1) {
    fn(page * layout.PageBytes(), int64_t{0}, layout.PageBytes());
    return;
  }
  const KvLayout alone = OnePage(layout);
  for (int64_t layer = 0; layer < layout.n_layers; ++layer) {
    for (int64_t head = 0; head < layout.n_kv_heads; ++head) {
      const KvPlace here = layout.Place(page, layer, head), there = alone.Place(0, layer, head);
      fn(here.k, there.k, layout.HeadBytes());
      fn(here.v, there.v, layout.HeadBytes());
      if (layout.HeadScaleBytes() == 0) continue;
      fn(here.k_scales, there.k_scales, layout.HeadScaleBytes());
      fn(here.v_scales, there.v_scales, layout.HeadScaleBytes());
    }
  }
}

}  // namespace

int64_t Stage::PageBytes(int64_t table) const {
  int64_t bytes = 0;
  for (size_t i = 0; i < kv_pages_.size(); ++i) {
    if (kv_layouts_.tables[i] == table) bytes += kv_layouts_.pools[i].PageBytes();
  }
  return bytes;
}

void Stage::ReadPage(int64_t table, int32_t page, uint8_t* out) {
  for (size_t i = 0; i < kv_pages_.size(); ++i) {
    if (kv_layouts_.tables[i] != table) continue;
    const uint8_t* pool = kv_pages_[i]->data();
    ForPieces(kv_layouts_.pools[i], page,
              [&](int64_t here, int64_t there, int64_t bytes) { Download(pool + here, out + there, bytes); });
    out += kv_layouts_.pools[i].PageBytes();
  }
}

void Stage::WritePage(int64_t table, int32_t page, const uint8_t* from) {
  for (size_t i = 0; i < kv_pages_.size(); ++i) {
    if (kv_layouts_.tables[i] != table) continue;
    uint8_t* pool = kv_pages_[i]->data();
    ForPieces(kv_layouts_.pools[i], page, [&](int64_t here, int64_t there, int64_t bytes) {
      backend_->Upload(pool + here, from + there, bytes);
    });
    from += kv_layouts_.pools[i].PageBytes();
  }
  backend_->FinishUploads();
}

void Stage::ReadState(int32_t slot, uint8_t* out) {
  if (states_ != nullptr) Download(states_->data() + slot * state_bytes(), out, state_bytes());
}

void Stage::WriteState(int32_t slot, const uint8_t* from) {
  if (states_ == nullptr) return;
  backend_->Upload(states_->data() + slot * state_bytes(), from, state_bytes());
  backend_->FinishUploads();
}

// All sizes here are multiples of a float's.
void Stage::Download(const uint8_t* from, uint8_t* out, int64_t bytes) {
  const int64_t floats = bytes / static_cast<int64_t>(sizeof(float));
  const float* view = backend_->HostView(reinterpret_cast<const float*>(from), floats, &host_copy_);
  std::memcpy(out, view, static_cast<size_t>(bytes));
}

}  // namespace kvasir
