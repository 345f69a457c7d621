// The JS objects of the grammar engine; see TokenTrie, NativeGrammar and NativeMatcher in lib/native.ts.
#pragma once

#include <napi.h>

#include "addon/addon_data.h"

namespace kvasir::addon {

void DefineGrammarClasses(Napi::Env env, AddonData& data);
Napi::Value CreateTokenTrie(const Napi::CallbackInfo& info);

}  // namespace kvasir::addon
