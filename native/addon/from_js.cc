#include "addon/from_js.h"

#include <cmath>

#include "backend/cpu.h"
#include "backend/cuda_library.h"
#include "model/spec_json.h"

namespace kvasir::addon {

namespace {

Napi::Object ObjectFrom(const Napi::Value& value, const char* name) {
  if (!value.IsObject()) throw Napi::TypeError::New(value.Env(), std::string(name) + " is not an object");
  return value.As<Napi::Object>();
}

bool Has(const Napi::Object& object, const char* name) {
  return object.Has(name) && !object.Get(name).IsUndefined();
}

double Number(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsNumber() || !std::isfinite(value.As<Napi::Number>().DoubleValue())) {
    throw Napi::TypeError::New(object.Env(), std::string(name) + " is not a finite number");
  }
  return value.As<Napi::Number>().DoubleValue();
}

int64_t Integer(const Napi::Object& object, const char* name) {
  const double value = Number(object, name);
  if (value != std::floor(value) || std::fabs(value) > 9007199254740991.0) {
    throw Napi::TypeError::New(object.Env(), std::string(name) + " is not an integer");
  }
  return static_cast<int64_t>(value);
}

std::string String(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsString()) throw Napi::TypeError::New(object.Env(), std::string(name) + " is not a string");
  return value.As<Napi::String>().Utf8Value();
}

bool Bool(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return value.IsBoolean() && value.As<Napi::Boolean>().Value();
}

// The index of a string in its list of allowed ones.
int Choice(const Napi::Object& object, const char* name, const std::vector<std::string>& allowed) {
  const std::string value = String(object, name);
  for (size_t i = 0; i < allowed.size(); ++i) {
    if (value == allowed[i]) return static_cast<int>(i);
  }
  throw Napi::TypeError::New(object.Env(), std::string(name) + " has the unknown value '" + value + "'");
}

Dtype DtypeFrom(const Napi::Object& object, const char* name) {
  return Choice(object, name, {"fp32", "int8"}) == 0 ? Dtype::kF32 : Dtype::kInt8;
}

}  // namespace

ModelSpec SpecFromJs(const Napi::Value& value) {
  if (!value.IsString()) throw Napi::TypeError::New(value.Env(), "spec is not a string");
  return SpecFromJson(value.As<Napi::String>().Utf8Value());
}

TensorMap TensorMapFromJs(const Napi::Value& value) {
  const Napi::Object object = ObjectFrom(value, "tensors");
  TensorMap tensors;
  const Napi::Array names = object.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).As<Napi::String>().Utf8Value();
    const Napi::Object source = ObjectFrom(object.Get(name), "a tensor source");
    TensorSource entry;
    entry.name = String(source, "name");
    entry.transposed = Bool(source, "transposed");
    entry.add_one = Bool(source, "addOne");
    entry.fp4 = Bool(source, "fp4");
    entry.negative_exp = Bool(source, "negativeExp");
    if (Has(source, "firstRow")) entry.first_row = Integer(source, "firstRow");
    if (Has(source, "group")) entry.group = Integer(source, "group");
    if (Has(source, "stride")) entry.stride = Integer(source, "stride");
    if (Has(source, "expert")) entry.expert = Integer(source, "expert");
    if (Has(source, "scales")) {
      const Napi::Object scales = ObjectFrom(source.Get("scales"), "scales");
      entry.scales = {String(scales, "name"), Integer(scales, "rows"), Integer(scales, "columns")};
    }
    tensors[name] = entry;
  }
  return tensors;
}

std::map<std::string, std::string> StringsFromJs(const Napi::Value& value) {
  const Napi::Object object = ObjectFrom(value, "metadata");
  std::map<std::string, std::string> strings;
  const Napi::Array names = object.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).As<Napi::String>().Utf8Value();
    strings[name] = String(object, name.c_str());
  }
  return strings;
}

std::vector<std::string> NamesFromJs(const Napi::Value& value, const char* name) {
  if (!value.IsArray()) throw Napi::TypeError::New(value.Env(), std::string(name) + " is not an array");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<std::string> strings;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    if (!item.IsString())
      throw Napi::TypeError::New(value.Env(), std::string(name) + " holds what is no string");
    strings.push_back(item.As<Napi::String>().Utf8Value());
  }
  return strings;
}

std::vector<AdapterTensor> AdapterFromJs(const Napi::Value& value) {
  if (!value.IsArray()) throw Napi::TypeError::New(value.Env(), "tensors is not an array");
  const Napi::Array list = value.As<Napi::Array>();
  std::vector<AdapterTensor> tensors;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Object entry = ObjectFrom(list.Get(i), "a tensor of an adapter");
    tensors.push_back({.name = String(entry, "name"),
                       .rank = Integer(entry, "rank"),
                       .a = VectorFromTypedArray<float>(entry.Get("a"), napi_float32_array, "a"),
                       .b = VectorFromTypedArray<float>(entry.Get("b"), napi_float32_array, "b"),
                       .scale = static_cast<float>(Number(entry, "scale"))});
  }
  return tensors;
}

LoadOptions LoadOptionsFromJs(const Napi::Value& value) {
  const Napi::Object object = ObjectFrom(value, "options");
  LoadOptions options;
  options.dtype = DtypeFrom(object, "dtype");
  constexpr Dtype kCaches[] = {Dtype::kF32, Dtype::kF16, Dtype::kInt8};
  options.kv_dtype = kCaches[Choice(object, "kvDtype", {"fp32", "fp16", "int8"})];
  options.context_length = Integer(object, "contextLength");
  options.kv_capacity = Integer(object, "kvCapacity");
  if (Has(object, "stateSlots")) options.state_slots = Integer(object, "stateSlots");
  if (Has(object, "keptStates")) options.kept_states = Integer(object, "keptStates");
  options.threads = static_cast<int>(Integer(object, "threads"));
  options.isa = ForcedIsa();
  if (Has(object, "device")) options.device = static_cast<int>(Integer(object, "device"));
  if (Has(object, "gpuLayers")) options.gpu_layers = Integer(object, "gpuLayers");
  options.cuda_library = ForcedCudaLibrary();
  if (Has(object, "keepFp32")) {
    options.keep_fp32 = NamesFromJs(object.Get("keepFp32"), "keepFp32");
  }
  return options;
}

}  // namespace kvasir::addon
