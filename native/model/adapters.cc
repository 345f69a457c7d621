#include "model/adapters.h"

#include <algorithm>
#include <set>

#include "core/aligned_buffer.h"
#include "core/error.h"
#include "model/tensors.h"
#include "model/weight_plan.h"
#include "quant/int8_check.h"
#include "quant/pack.h"

namespace kvasir {

namespace {

[[noreturn]] void ThrowAdapter(const std::string& name, const std::string& what) {
  throw Error(ErrorCode::kInvalidOption, "An adapter's tensor '" + name + "' " + what);
}

// Whether a name is a tensor's or that of one of its parts; then which columns it has.
bool Covers(const ModelTensor& tensor, const std::string& name, AdapterPlace* place) {
  place->first_column = 0;
  place->columns = tensor.rows;
  if (tensor.name == name) return true;
  for (const TensorPart& part : tensor.parts) {
    place->columns = part.rows;
    if (part.name == name) return true;
    place->first_column += part.rows;
  }
  return false;
}

// Of the linear that a name belongs to; says its columns and layer too.
const ModelTensor& TensorOf(const std::vector<ModelTensor>& tensors, const std::string& name,
                            AdapterPlace* place) {
  for (const ModelTensor& one : tensors) {
    if (one.role == TensorRole::kVector || !Covers(one, name, place)) continue;
    if (!CanAdapt(one.place)) {
      ThrowAdapter(name, "belongs to a part of the model that adapters cannot change");
    }
    place->layer = one.layer;
    return one;
  }
  ThrowAdapter(name, "belongs to no linear of this model");
}

void CheckRank(const std::string& name, int64_t rank) {
  if (rank >= 1 && rank <= kMostAdapterRank) return;
  ThrowAdapter(name, "has rank " + std::to_string(rank) + ", which must be from 1 to " +
                         std::to_string(kMostAdapterRank));
}

void CheckShape(const AdapterPlace& place) {
  const AdapterTensor& t = *place.tensor;
  CheckRank(t.name, t.rank);
  const auto check = [&](const char* what, const std::vector<float>& values, int64_t rows, int64_t columns) {
    if (static_cast<int64_t>(values.size()) != rows * columns) {
      ThrowAdapter(t.name, std::string("has ") + std::to_string(values.size()) + " values of " + what +
                               ", and this model needs [" + std::to_string(rows) + ", " +
                               std::to_string(columns) + "]");
    }
    const auto n = static_cast<int64_t>(values.size());
    if (FirstNotFinite(values.data(), n) < n) {
      ThrowAdapter(t.name, std::string("has a value of ") + what + " that is infinite or not a number");
    }
  };
  check("A", t.a, t.rank, place.linear->k);
  check("B", t.b, place.columns, t.rank);
  if (FirstNotFinite(&t.scale, 1) == 0) ThrowAdapter(t.name, "has a scale that is infinite or not a number");
}

// [n, k] of `values` to panels in host memory, then to the device's `own`.
void PackTo(const LinearWeight& own, const float* values, PackPanelFn pack_panel_s8, Device* device) {
  AlignedBuffer panels(static_cast<size_t>(PackedBytes(own.dtype, own.n, own.k)), "packing an adapter");
  LinearWeight host = own;
  host.panels = panels.data();
  for (int64_t row = 0; row < own.n; row += kPanelColumns) {
    PackRows(host, row, std::min<int64_t>(kPanelColumns, own.n - row), values + row * own.k, pack_panel_s8);
  }
  device->UploadLinear(host, own);
  device->FinishUploads();
}

// A is as the linear is, [rank, k]; B of a place's columns.
LowRank TakeLowRank(Arena& arena, const AdapterPlace& place, int64_t rank, Dtype dtype, int64_t k) {
  LowRank part;
  part.first_column = place.first_column;
  part.a = {.dtype = dtype, .n = rank, .k = k};
  part.b = {.dtype = Dtype::kF32, .n = place.columns, .k = rank};
  for (LinearWeight* one : {&part.a, &part.b}) {
    one->panels = arena.Take(static_cast<size_t>(PackedBytes(one->dtype, one->n, one->k)));
  }
  return part;
}

}  // namespace

bool CanAdapt(TensorPlace place) {
  switch (place) {
    case TensorPlace::kQkv:
    case TensorPlace::kAttnGate:
    case TensorPlace::kStateIn:
    case TensorPlace::kDeltaGates:
    case TensorPlace::kO:
    case TensorPlace::kGateUp:
    case TensorPlace::kDown:
    case TensorPlace::kLmHead: return true;
    default: return false;
  }
}

std::vector<AdapterPlace> PlaceAdapter(const ModelSpec& spec, const Weights& weights,
                                       const std::vector<AdapterTensor>& tensors) {
  const std::vector<ModelTensor> table = TensorsOf(spec);
  std::vector<AdapterPlace> places;
  std::set<std::string> names;
  for (const AdapterTensor& tensor : tensors) {
    AdapterPlace place = {.tensor = &tensor};
    place.linear = LinearAt(TensorOf(table, tensor.name, &place), &weights);
    places.push_back(place);
    CheckShape(place);
    if (!names.insert(tensor.name).second) ThrowAdapter(tensor.name, "comes twice");
  }
  if (places.empty()) throw Error(ErrorCode::kInvalidOption, "An adapter has no tensors");
  std::stable_sort(places.begin(), places.end(), [](const AdapterPlace& x, const AdapterPlace& y) {
    return x.first_column < y.first_column;
  });
  return places;
}

int64_t PredictAdapterBytes(const ModelSpec& spec, const TensorMap& tensors, const LoadOptions& options,
                            const std::vector<AdapterShape>& adapter) {
  const std::vector<ModelTensor> table = TensorsOf(spec);
  const bool tied = tensors.count("lm_head.weight") == 0 && tensors.count("lm_head.blocks") == 0;
  Arena counting;
  for (const AdapterShape& shape : adapter) {
    CheckRank(shape.name, shape.rank);
    AdapterPlace place;
    const ModelTensor& tensor = TensorOf(table, shape.name, &place);
    const bool as_embedding = tied && tensor.place == TensorPlace::kLmHead;
    TakeLowRank(counting, place, shape.rank, options.DtypeOf(as_embedding ? "embed.tokens" : tensor.name),
                tensor.columns);
  }
  return static_cast<int64_t>(counting.used());
}

Adapter::Adapter(const std::vector<AdapterPlace>& places, PackPanelFn pack_panel_s8, Device* device) {
  const auto lay_out = [&](Arena& arena) {
    linears_.clear();
    for (const AdapterPlace& place : places) {
      linears_[place.linear].push_back(
          TakeLowRank(arena, place, place.tensor->rank, place.linear->dtype, place.linear->k));
      most_rank_ = std::max(most_rank_, place.tensor->rank);
    }
  };
  Arena counting;
  lay_out(counting);
  memory_ = device->Allocate(static_cast<int64_t>(counting.used()), "an adapter", false);
  Arena arena(memory_->data(), memory_->size());
  lay_out(arena);
  std::unordered_map<const LinearWeight*, size_t> filled;
  for (const AdapterPlace& place : places) {
    const LowRank& part = linears_[place.linear][filled[place.linear]++];
    std::vector<float> scaled = place.tensor->b;
    for (float& value : scaled) value *= place.tensor->scale;
    PackTo(part.a, place.tensor->a.data(), pack_panel_s8, device);
    PackTo(part.b, scaled.data(), pack_panel_s8, device);
  }
}

const std::vector<LowRank>* Adapter::Of(const LinearWeight& linear) const {
  const auto found = linears_.find(&linear);
  return found == linears_.end() ? nullptr : &found->second;
}

}  // namespace kvasir
