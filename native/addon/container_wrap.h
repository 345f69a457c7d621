// The JS object of an open container; see Container in lib/native.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "io/container.h"

namespace kvasir::addon {

class ContainerWrap : public Napi::ObjectWrap<ContainerWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Value Wrap(Napi::Env env, std::shared_ptr<Container> container);
  // Throws Error(kDisposed) after close().
  static std::shared_ptr<Container> ContainerOf(const Napi::Value& value);

  explicit ContainerWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ContainerWrap>(info) {}

 private:
  Napi::Value MetadataArray(const Napi::CallbackInfo& info);
  Napi::Value ReadTensor(const Napi::CallbackInfo& info);
  Napi::Value ReadRows(const Napi::CallbackInfo& info);
  Napi::Value ReadBytes(const Napi::CallbackInfo& info);
  Napi::Value AreCopies(const Napi::CallbackInfo& info);
  // Throws Error(kModelFormat).
  const TensorInfo& Named(const Napi::Value& name) const;
  // Throws Error(kDisposed) after close().
  const Container& Open() const;
  void Close(const Napi::CallbackInfo&) { container_.reset(); }

  std::shared_ptr<Container> container_;
};

}  // namespace kvasir::addon
