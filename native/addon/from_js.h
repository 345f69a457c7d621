// JS values to native structs. Types are checked; what they mean is checked by the rooms that use them.
#pragma once

#include <napi.h>

#include "model/adapters.h"
#include "model/model_spec.h"

namespace kvasir::addon {

// Each throws Napi::TypeError naming the field.
ModelSpec SpecFromJs(const Napi::Value& value);
TensorMap TensorMapFromJs(const Napi::Value& value);
// KVASIR_CPU_ISA and KVASIR_CUDA_LIBRARY are read here, on the JS thread, where process.env writes them.
LoadOptions LoadOptionsFromJs(const Napi::Value& value);
// The entries of an object whose values are all strings.
std::map<std::string, std::string> StringsFromJs(const Napi::Value& value);

std::vector<std::string> NamesFromJs(const Napi::Value& value, const char* name);
// AdapterTensor[] of lib/native.ts; its arrays are copied.
std::vector<AdapterTensor> AdapterFromJs(const Napi::Value& value);

template <typename T>
std::vector<T> VectorFromTypedArray(const Napi::Value& value, napi_typedarray_type type, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) {
    throw Napi::TypeError::New(value.Env(),
                               std::string(name) + " is not the typed array that native expects");
  }
  const auto array = value.As<Napi::TypedArrayOf<T>>();
  return std::vector<T>(array.Data(), array.Data() + array.ElementLength());
}

}  // namespace kvasir::addon
