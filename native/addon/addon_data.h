// What one instance of the addon (one per JS environment) keeps: its classes.
#pragma once

#include <napi.h>

namespace kvasir::addon {

struct AddonData {
  Napi::FunctionReference container_class;
  Napi::FunctionReference model_class;
  Napi::FunctionReference vectors_class;
  Napi::FunctionReference token_trie_class;
  Napi::FunctionReference grammar_class;
  Napi::FunctionReference matcher_class;

  static AddonData& Of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }
};

}  // namespace kvasir::addon
