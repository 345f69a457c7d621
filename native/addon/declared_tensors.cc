#include "addon/declared_tensors.h"

#include "core/error.h"

namespace kvasir::addon {

DeclaredTensors::DeclaredTensors(const Napi::Value& entries) {
  const auto require = [&](bool holds, const char* what) {
    if (!holds) throw Napi::TypeError::New(entries.Env(), what);
  };
  require(entries.IsArray(), "entries is not an array");
  const Napi::Array list = entries.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Value value = list.Get(i);
    require(value.IsObject(), "an entry is not an object");
    const Napi::Object entry = value.As<Napi::Object>();
    const bool complete =
        entry.Get("name").IsString() && entry.Get("dtype").IsString() && entry.Get("shape").IsArray();
    require(complete, "an entry lacks its name, dtype or shape");
    TensorInfo info;
    info.name = entry.Get("name").As<Napi::String>().Utf8Value();
    info.dtype = entry.Get("dtype").As<Napi::String>().Utf8Value();
    const Napi::Array sizes = entry.Get("shape").As<Napi::Array>();
    for (uint32_t k = 0; k < sizes.Length(); ++k) {
      const Napi::Value size = sizes.Get(k);
      require(size.IsNumber(), "a shape holds what is no number");
      info.shape.push_back(size.As<Napi::Number>().Int64Value());
    }
    by_name_[info.name] = tensors_.size();
    tensors_.push_back(std::move(info));
  }
}

const TensorInfo* DeclaredTensors::Find(const std::string& name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : &tensors_[at->second];
}

void DeclaredTensors::ReadRows(const TensorInfo&, int64_t, int64_t, float*) const {
  throw Error(ErrorCode::kInternal, "Declared tensors have no values");
}

void DeclaredTensors::ReadBytes(const TensorInfo&, uint64_t, uint64_t, void*) const {
  throw Error(ErrorCode::kInternal, "Declared tensors have no values");
}

}  // namespace kvasir::addon
