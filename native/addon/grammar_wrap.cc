#include "addon/grammar_wrap.h"

#include <algorithm>
#include <memory>

#include "addon/async.h"
#include "addon/from_js.h"
#include "grammar/grammar.h"

namespace kvasir::addon {

namespace {

using grammar::ByteTrie;
using grammar::Grammar;
using grammar::LimitError;
using grammar::Matcher;

template <typename T, napi_typedarray_type type>
std::vector<T> Copied(const Napi::Value& value, const char* name) {
  return VectorFromTypedArray<T>(value, type, name);
}

// As Guard, and LimitError has the code LIMIT_EXCEEDED.
template <typename Fn>
auto GuardGrammar(Napi::Env env, const Fn& fn) {
  try {
    return Guard(env, fn);
  } catch (const LimitError& error) {
    const Napi::Error js = Napi::Error::New(env, error.what());
    js.Value().Set("code", Napi::String::New(env, "LIMIT_EXCEEDED"));
    throw js;
  }
}

class MatcherWrap : public Napi::ObjectWrap<MatcherWrap> {
 public:
  explicit MatcherWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<MatcherWrap>(info) {}
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(
        env, "NativeMatcher",
        {InstanceMethod<&MatcherWrap::Mask>("mask"), InstanceMethod<&MatcherWrap::Accept>("accept"),
         InstanceMethod<&MatcherWrap::Rollback>("rollback"), InstanceMethod<&MatcherWrap::Fork>("fork"),
         InstanceMethod<&MatcherWrap::Shortest>("shortest"), InstanceMethod<&MatcherWrap::Forced>("forced"),
         InstanceAccessor<&MatcherWrap::Forces>("forces"), InstanceAccessor<&MatcherWrap::CanEnd>("canEnd"),
         InstanceAccessor<&MatcherWrap::Over>("over")});
  }
  static Napi::Value Wrap(Napi::Env env, std::unique_ptr<Matcher> matcher) {
    const Napi::Object object = AddonData::Of(env).matcher_class.New({});
    Unwrap(object)->matcher_ = std::move(matcher);
    return object;
  }

 private:
  Napi::Value Mask(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return GuardGrammar(env, [&]() -> Napi::Value {
      auto bits = info[0].As<Napi::Uint32Array>();
      if (!info[0].IsTypedArray() || bits.TypedArrayType() != napi_uint32_array ||
          bits.ElementLength() < Get().words())
        throw Napi::TypeError::New(env, "bits is not a Uint32Array of the vocabulary's size");
      const grammar::MaskOutcome outcome = Get().Mask(bits.Data(), info[1].ToNumber().Int64Value());
      const Napi::Object result = Napi::Object::New(env);
      result.Set("allowed", outcome.allowed);
      result.Set("narrowed", outcome.narrowed);
      return result;
    });
  }
  Napi::Value Accept(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return GuardGrammar(
        env, [&] { return Napi::Boolean::New(env, Get().Accept(info[0].ToNumber().Int32Value())); });
  }
  Napi::Value Fork(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return GuardGrammar(env, [&] { return Wrap(env, std::make_unique<Matcher>(Get())); });
  }
  void Rollback(const Napi::CallbackInfo& info) {
    GuardGrammar(info.Env(), [&] {
      const int64_t count = info[0].ToNumber().Int64Value();
      Get().Rollback(static_cast<size_t>(count < 0 ? INT32_MAX : count));
    });
  }
  Napi::Value Shortest(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return GuardGrammar(env, [&] {
      std::vector<int32_t> tokens;
      const bool found = Get().Shortest(tokens);
      return Napi::Number::New(env, found ? static_cast<double>(tokens.size()) : -1);
    });
  }
  Napi::Value Forced(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return GuardGrammar(env, [&] {
      const int64_t most =
          std::clamp<int64_t>(info[0].ToNumber().Int64Value(), 0, grammar::kLongestCompletion);
      const std::vector<int32_t> tokens = Get().ForcedTokens(static_cast<size_t>(most));
      Napi::Int32Array result = Napi::Int32Array::New(env, tokens.size());
      std::copy(tokens.rbegin(), tokens.rend(), result.Data());
      return result;
    });
  }
  Napi::Value Forces(const Napi::CallbackInfo& info) {
    // A grammar at one of its limits: what asks for a mask is told.
    const auto forces = [&] {
      try {
        return !Get().Forced(1).empty();
      } catch (const LimitError&) {
        return false;
      }
    };
    return GuardGrammar(info.Env(), [&] { return Napi::Boolean::New(info.Env(), forces()); });
  }
  Napi::Value CanEnd(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), Get().CanEnd());
  }
  Napi::Value Over(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), Get().Over()); }
  Matcher& Get() const {
    if (matcher_ == nullptr) throw Error(ErrorCode::kInvalidOption, "A matcher is made by a grammar");
    return *matcher_;
  }

  std::unique_ptr<Matcher> matcher_;
};

class GrammarWrap : public Napi::ObjectWrap<GrammarWrap> {
 public:
  explicit GrammarWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<GrammarWrap>(info) {}
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "NativeGrammar", {InstanceMethod<&GrammarWrap::CreateMatcher>("createMatcher")});
  }
  static Napi::Value Wrap(Napi::Env env, std::shared_ptr<Grammar> grammar) {
    const Napi::Object object = AddonData::Of(env).grammar_class.New({});
    Unwrap(object)->grammar_ = std::move(grammar);
    return object;
  }

 private:
  Napi::Value CreateMatcher(const Napi::CallbackInfo& info) {
    return GuardGrammar(info.Env(), [&] {
      if (grammar_ == nullptr)
        throw Error(ErrorCode::kInvalidOption, "A grammar is made by a trie of tokens");
      return MatcherWrap::Wrap(info.Env(), std::make_unique<Matcher>(grammar_));
    });
  }

  std::shared_ptr<Grammar> grammar_;
};

class TokenTrieWrap : public Napi::ObjectWrap<TokenTrieWrap> {
 public:
  explicit TokenTrieWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TokenTrieWrap>(info) {}
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "TokenTrie", {InstanceMethod<&TokenTrieWrap::Compile>("compile")});
  }
  static Napi::Value Wrap(Napi::Env env, std::shared_ptr<const ByteTrie> trie) {
    const Napi::Object object = AddonData::Of(env).token_trie_class.New({});
    Unwrap(object)->trie_ = std::move(trie);
    return object;
  }

 private:
  Napi::Value Compile(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return GuardGrammar(env, [&]() -> Napi::Value {
      if (trie_ == nullptr) throw Error(ErrorCode::kInvalidOption, "A trie is made by createTokenTrie");
      auto ir = std::make_shared<grammar::Ir>();
      const auto nodes = Copied<int32_t, napi_int32_array>(info[0], "nodes");
      for (size_t i = 0; i + 3 < nodes.size(); i += 4) {
        if (nodes[i] < 0 || nodes[i] > static_cast<int32_t>(grammar::IrOp::kSubtract))
          throw Error(ErrorCode::kInvalidOption, "The grammar's table has a node of no kind");
        ir->nodes.push_back({static_cast<grammar::IrOp>(nodes[i]), nodes[i + 1], nodes[i + 2], nodes[i + 3]});
      }
      ir->lists = Copied<int32_t, napi_int32_array>(info[1], "lists");
      const auto bytes = Copied<uint8_t, napi_uint8_array>(info[2], "bytes");
      ir->bytes.assign(bytes.begin(), bytes.end());
      ir->rules = Copied<int32_t, napi_int32_array>(info[3], "rules");
      ir->shared = Copied<uint8_t, napi_uint8_array>(info[4], "shared");
      return RunAsync(env, "kvasir.grammar", [ir, trie = trie_]() -> std::function<Napi::Value(Napi::Env)> {
        try {
          auto made = std::make_shared<Grammar>(*ir, trie);
          return [made](Napi::Env js) { return GrammarWrap::Wrap(js, made); };
        } catch (const LimitError& error) {
          return [what = std::string(error.what())](Napi::Env js) -> Napi::Value {
            return Napi::String::New(js, what);
          };
        }
      });
    });
  }

  std::shared_ptr<const ByteTrie> trie_;
};

}  // namespace

void DefineGrammarClasses(Napi::Env env, AddonData& data) {
  data.token_trie_class = Napi::Persistent(TokenTrieWrap::Define(env));
  data.grammar_class = Napi::Persistent(GrammarWrap::Define(env));
  data.matcher_class = Napi::Persistent(MatcherWrap::Define(env));
}

Napi::Value CreateTokenTrie(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    auto bytes = Copied<uint8_t, napi_uint8_array>(info[0], "bytes");
    auto offsets = Copied<uint32_t, napi_uint32_array>(info[1], "offsets");
    auto usable = Copied<uint8_t, napi_uint8_array>(info[2], "usable");
    bool sound = offsets.size() == usable.size() + 1 && offsets[0] == 0 && offsets.back() <= bytes.size();
    for (size_t i = 0; sound && i < usable.size(); ++i) sound = offsets[i] <= offsets[i + 1];
    if (!sound) throw Error(ErrorCode::kInvalidOption, "The offsets of the tokens are out of order");
    return RunAsync(env, "kvasir.trie",
                    [bytes = std::move(bytes), offsets = std::move(offsets), usable = std::move(usable)] {
                      auto trie = std::make_shared<const ByteTrie>(bytes.data(), offsets.data(),
                                                                   usable.data(), usable.size());
                      return [trie](Napi::Env js) { return TokenTrieWrap::Wrap(js, trie); };
                    });
  });
}

}  // namespace kvasir::addon
