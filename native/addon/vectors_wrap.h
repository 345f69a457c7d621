// The JS object of an index over vectors; see NativeVectors in lib/native-vectors.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "vectors/vector_index.h"

namespace kvasir::addon {

class VectorsWrap : public Napi::ObjectWrap<VectorsWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  // createVectors(dimensions, threads)
  static Napi::Value Create(const Napi::CallbackInfo& info);

  explicit VectorsWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<VectorsWrap>(info) {}

 private:
  Napi::Value Add(const Napi::CallbackInfo& info);
  Napi::Value Search(const Napi::CallbackInfo& info);
  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value Append(const Napi::CallbackInfo& info);
  Napi::Value Truncate(const Napi::CallbackInfo& info);
  void Dispose(const Napi::CallbackInfo& info);

  // Work that still runs keeps it. Throws Error(kDisposed).
  std::shared_ptr<VectorIndex> Live() const;

  std::shared_ptr<VectorIndex> index_;
};

}  // namespace kvasir::addon
