#include "model/stored_weights.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>

#include "core/checksum.h"
#include "core/error.h"
#include "quant/int8_check.h"

namespace kvasir {

namespace {

// A piece is checked while it is in the L2 cache. Whole blocks, and whole words of the checksum.
constexpr uint64_t kPieceBytes = 124 * sizeof(Int8Block);
static_assert(kPieceBytes % 8 == 0, "pieces begin at whole words");

// Never freed: a thread may still load while the process exits.
const std::map<std::string, std::string>& Scheme() {
  static const auto& scheme = *new std::map<std::string, std::string>{
      {"format", "kvasir-int8"},
      {"version", "2"},
      {"rotation", "hadamard"},
      {"rotation_size", std::to_string(kGroup)},
      {"group_size", std::to_string(kGroup)},
      {"scale_dtype", "F16"},
      {"weight_offset", std::to_string(kWeightOffset)},
      {"panel_columns", std::to_string(kPanelColumns)},
  };
  return scheme;
}

std::string ChecksumKey(const std::string& tensor) { return "checksum." + tensor; }

std::string Hex(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

// A stored tensor: what it must be in the file, and where it goes.
struct Slot {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  const void* values;
  void* to;  // the same, where they are loaded
  uint64_t bytes;
};

Slot WeightSlot(const LinearPlan& plan) {
  const int64_t panels = plan.padded_n() / kPanelColumns, groups = (plan.k + kGroup - 1) / kGroup;
  if (plan.float32) {
    return {plan.panels_name(),
            "F32",
            {panels, plan.k, kPanelColumns},
            plan.target->panels,
            plan.target->panels,
            static_cast<uint64_t>(panels * plan.k * kPanelColumns) * 4};
  }
  constexpr int64_t kBlockBytes = sizeof(Int8Block);
  return {plan.blocks_name(),
          "U8",
          {panels, groups, kBlockBytes},
          plan.target->panels,
          plan.target->panels,
          static_cast<uint64_t>(panels * groups * kBlockBytes)};
}

std::vector<Slot> SlotsOf(const std::vector<TensorPlan>& plans) {
  std::vector<Slot> slots;
  VisitPlans(
      plans,
      [&](const LinearPlan& plan) {
        slots.push_back(WeightSlot(plan));
        if (!plan.biased) return;
        slots.push_back({plan.bias_name(),
                         "F32",
                         {plan.n()},
                         plan.target->bias,
                         plan.target->bias,
                         static_cast<uint64_t>(plan.n()) * 4});
      },
      [&](const VectorPlan& plan) {
        std::vector<int64_t> shape = {plan.columns};
        if (plan.rows > 1) shape.insert(shape.begin(), plan.rows);
        slots.push_back({plan.name, "F32", std::move(shape), *plan.target, plan.values,
                         static_cast<uint64_t>(plan.rows * plan.columns) * 4});
      });
  return slots;
}

[[noreturn]] void ThrowStored(const std::string& what) {
  throw Error(ErrorCode::kModelFormat, "The INT8 form of this model cannot be used: " + what +
                                           ". Write it again with kvasir quantize");
}

std::string Shape(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "[" : ", ") + std::to_string(size);
  return text + "]";
}

const std::string* Text(const Container& container, const std::string& key) {
  const auto entry = container.metadata().find(key);
  return entry == container.metadata().end() ? nullptr : std::get_if<std::string>(&entry->second);
}

void CheckScheme(const Container& container) {
  for (const auto& [key, expected] : Scheme()) {
    const std::string* found = Text(container, key);
    if (found != nullptr && *found == expected) continue;
    ThrowStored("its metadata '" + key + "' is " +
                (found == nullptr ? "missing" : "'" + found->substr(0, 40) + "'") +
                ", and this version reads '" + expected + "'");
  }
}

const TensorInfo& CheckedTensor(const Slot& slot, const Container& container) {
  const TensorInfo* tensor = container.Find(slot.name);
  if (tensor == nullptr) ThrowStored("tensor '" + slot.name + "' is missing");
  if (tensor->dtype != slot.dtype || tensor->shape != slot.shape) {
    ThrowStored("tensor '" + slot.name + "' is " + tensor->dtype + " " + Shape(tensor->shape) +
                ", and its configuration needs " + slot.dtype + " " + Shape(slot.shape));
  }
  if (Text(container, ChecksumKey(slot.name)) == nullptr) {
    ThrowStored("its metadata has no checksum of tensor '" + slot.name + "'");
  }
  return *tensor;
}

struct Piece {
  size_t slot;
  uint64_t begin;
};

void CheckBlockPiece(const Slot& slot, const void* bytes, uint64_t size) {
  int64_t block = 0, column = 0;
  switch (CheckBlocks(static_cast<const Int8Block*>(bytes), static_cast<int64_t>(size / sizeof(Int8Block)),
                      &block, &column)) {
    case BlockFault::kNone: return;
    case BlockFault::kScale: ThrowStored("tensor '" + slot.name + "' has a scale that cannot be");
    case BlockFault::kWeight: ThrowStored("tensor '" + slot.name + "' has a weight outside [-127, 127]");
  }
}

}  // namespace

void CheckStored(const std::vector<TensorPlan>& plans, const Container& container) {
  CheckScheme(container);
  const std::vector<Slot> slots = SlotsOf(plans);
  for (const Slot& slot : slots) CheckedTensor(slot, container);
  if (container.tensors().size() == slots.size()) return;
  for (const TensorInfo& tensor : container.tensors()) {
    const bool known =
        std::any_of(slots.begin(), slots.end(), [&](const Slot& slot) { return slot.name == tensor.name; });
    if (!known) ThrowStored("tensor '" + tensor.name + "' belongs to no part of the model");
  }
}

void LoadStored(const std::vector<TensorPlan>& plans, const Container& container, LoadTasks* tasks) {
  const std::vector<Slot> slots = SlotsOf(plans);
  std::vector<const TensorInfo*> tensors;
  std::vector<Piece> pieces;
  for (size_t i = 0; i < slots.size(); ++i) {
    tensors.push_back(&CheckedTensor(slots[i], container));
    for (uint64_t begin = 0; begin < slots[i].bytes; begin += kPieceBytes) pieces.push_back({i, begin});
  }
  const auto sums = std::make_unique<std::atomic<uint64_t>[]>(slots.size());
  tasks->Run(static_cast<int64_t>(pieces.size()), [&](int64_t task, int) {
    const Piece& piece = pieces[static_cast<size_t>(task)];
    const Slot& slot = slots[piece.slot];
    const uint64_t size = std::min(kPieceBytes, slot.bytes - piece.begin);
    uint8_t* to = static_cast<uint8_t*>(slot.to) + piece.begin;
    container.ReadBytes(*tensors[piece.slot], piece.begin, size, to);
    sums[piece.slot].fetch_add(Checksum(to, size, piece.begin), std::memory_order_relaxed);
    if (slot.dtype == "U8") {
      CheckBlockPiece(slot, to, size);
    } else {
      const auto n = static_cast<int64_t>(size / 4);
      if (FirstNotFinite(reinterpret_cast<const float*>(to), n) < n) {
        ThrowStored("tensor '" + slot.name + "' has a value that is infinite or not a number");
      }
    }
    return static_cast<int64_t>(size);
  });
  for (size_t i = 0; i < slots.size(); ++i) {
    if (*Text(container, ChecksumKey(slots[i].name)) == Hex(sums[i].load())) continue;
    ThrowStored("the checksum of tensor '" + slots[i].name + "' is another one: the file is damaged");
  }
}

std::vector<TensorToWrite> StoredTensors(const std::vector<TensorPlan>& plans) {
  std::vector<TensorToWrite> tensors;
  for (Slot& slot : SlotsOf(plans)) {
    tensors.push_back(
        {std::move(slot.name), std::move(slot.dtype), std::move(slot.shape), slot.values, slot.bytes});
  }
  return tensors;
}

std::map<std::string, std::string> StoredMetadata(const std::vector<TensorToWrite>& tensors) {
  std::map<std::string, std::string> metadata = Scheme();
  for (const TensorToWrite& tensor : tensors) {
    metadata[ChecksumKey(tensor.name)] = Hex(Checksum(tensor.values, tensor.bytes));
  }
  return metadata;
}

}  // namespace kvasir
