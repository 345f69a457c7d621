// The methods of a model that look into it; see NativeInspection in lib/native.ts. Each runs on a thread of its own.
#include <algorithm>
#include <chrono>

#include "addon/addon_data.h"
#include "addon/from_js.h"
#include "addon/model_wrap.h"
#include "model/linears.h"
#include "model/tensors.h"

namespace kvasir::addon {

namespace {

struct Tap {
  std::string name;
  std::vector<float> values;
};

using Clock = std::chrono::steady_clock;

// What an op took and wrote.
struct OpTime {
  std::string name;
  int64_t start;  // ns since the run of layers began
  int64_t ns;
  int64_t bytes;
};

// Keeps the tensors whose names end in one of `wanted`: scores and weights of attention would fill the memory.
class SelectingSink : public TapSink {
 public:
  explicit SelectingSink(std::vector<std::string> wanted) : wanted_(std::move(wanted)) {}

  void Ran(const std::string& name, int64_t bytes) override {
    times.push_back({name, Nanoseconds(since_ - began_), Nanoseconds(Clock::now() - since_), bytes});
  }

  void Resume() override { since_ = Clock::now(); }

  void Record(const std::string& name, const float* values, int64_t rows, int64_t columns) override {
    if (!Wants(name.substr(name.rfind('.') + 1))) return;
    taps.push_back({name, std::vector<float>(values, values + rows * columns)});
  }

  bool Wants(const std::string& op) const override {
    return std::find(wanted_.begin(), wanted_.end(), op) != wanted_.end();
  }

  std::vector<Tap> taps;
  std::vector<OpTime> times;

 private:
  static int64_t Nanoseconds(Clock::duration time) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
  }

  std::vector<std::string> wanted_;
  Clock::time_point began_ = Clock::now(), since_ = began_;
};

struct LayerRunRequest {
  std::vector<int32_t> tokens, rows;
  std::vector<float> input;
  int64_t first = 0, end = 0;
  std::vector<std::string> taps;
  bool timed = false;
  LayerRunPlace place;
  HeadPatch patch;
  std::vector<float> attended;  // of the patch
};

LayerRunRequest LayerRunFromJs(const Napi::Value& value) {
  if (!value.IsObject()) throw Napi::TypeError::New(value.Env(), "request is not an object");
  const Napi::Object object = value.As<Napi::Object>();
  LayerRunRequest request;
  request.tokens = VectorFromTypedArray<int32_t>(object.Get("tokens"), napi_int32_array, "tokens");
  request.rows = VectorFromTypedArray<int32_t>(object.Get("rows"), napi_int32_array, "rows");
  request.first = object.Get("first").ToNumber().Int64Value();
  request.end = object.Get("end").ToNumber().Int64Value();
  request.taps = NamesFromJs(object.Get("taps"), "taps");
  request.timed = object.Get("timed").ToBoolean().Value();
  if (!object.Get("input").IsUndefined()) {
    request.input = VectorFromTypedArray<float>(object.Get("input"), napi_float32_array, "input");
  }
  if (!object.Get("sequence").IsUndefined()) {
    request.place.sequence = object.Get("sequence").ToNumber().Int32Value();
    request.place.commit = object.Get("commit").ToBoolean().Value();
  }
  if (!object.Get("heads").IsUndefined()) {
    request.patch.heads = VectorFromTypedArray<int32_t>(object.Get("heads"), napi_int32_array, "heads");
    request.attended = VectorFromTypedArray<float>(object.Get("attended"), napi_float32_array, "attended");
  }
  return request;
}

Napi::Value FloatsToJs(Napi::Env env, const std::vector<float>& values) {
  Napi::Float32Array array = Napi::Float32Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

const LinearWeight& LinearNamed(const Transformer& transformer, const std::string& name) {
  const LinearWeight* linear = FindLinear(transformer.spec(), transformer.weights(), name);
  if (linear == nullptr) throw Error(ErrorCode::kInvalidOption, "There is no linear '" + name + "'");
  return *linear;
}

// Layer of a gate_up, of an expert or a shared one too.
int64_t LayerOfGateUp(const ModelSpec& spec, const std::string& name) {
  for (const ModelTensor& tensor : TensorsOf(spec)) {
    const bool is_gate_up = tensor.place == TensorPlace::kGateUp ||
                            tensor.place == TensorPlace::kExpertGateUp ||
                            tensor.place == TensorPlace::kSharedGateUp;
    if (is_gate_up && tensor.name == name) return tensor.layer;
  }
  throw Error(ErrorCode::kInvalidOption, "There is no activation behind '" + name + "'");
}

// How many x [rows, k] has.
int64_t RowsFor(const LinearWeight& linear, const std::vector<float>& x) {
  const int64_t rows = static_cast<int64_t>(x.size()) / linear.k;
  if (rows < 1 || rows * linear.k != static_cast<int64_t>(x.size())) {
    throw Error(ErrorCode::kInvalidOption, "x does not fit the linear");
  }
  return rows;
}

// [count, columns] of a linear, or of what is none.
std::vector<float> RowsOf(Transformer& transformer, const std::string& name, int64_t first, int64_t count) {
  const LinearWeight* linear = FindLinear(transformer.spec(), transformer.weights(), name);
  if (linear == nullptr) return transformer.VectorRows(name, first, count);
  if (first < 0 || count < 1 || count > linear->n || first > linear->n - count) {
    throw Error(ErrorCode::kInvalidOption, "The linear has no such rows");
  }
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(first) + static_cast<int32_t>(i);
  return transformer.WeightRows(*linear, ids);
}

// What a run of layers gave, until it is JS's.
struct LayerRunResult {
  std::vector<float> hidden, logits;
  std::vector<Tap> taps;
  std::vector<OpTime> times;
};

Napi::Value TimesToJs(Napi::Env env, const std::vector<OpTime>& times) {
  const Napi::Array list = Napi::Array::New(env, times.size());
  for (uint32_t i = 0; i < times.size(); ++i) {
    const Napi::Object time = Napi::Object::New(env);
    time.Set("name", times[i].name);
    time.Set("start", static_cast<double>(times[i].start));
    time.Set("ns", static_cast<double>(times[i].ns));
    time.Set("bytes", static_cast<double>(times[i].bytes));
    list.Set(i, time);
  }
  return list;
}

// Values of a patch are those of its heads in every layer that runs.
void CheckAttended(const ModelSpec& spec, const LayerRunRequest& request) {
  if (request.patch.heads.empty()) return;
  for (int64_t layer = std::max<int64_t>(0, request.first); layer < std::min(request.end, spec.n_layers());
       ++layer) {
    if (spec.has_state(layer)) throw Error(ErrorCode::kInvalidOption, "A layer with a state has no heads");
    const size_t values = request.tokens.size() * request.patch.heads.size() *
                          static_cast<size_t>(spec.attention_of(layer).head_dim);
    if (request.attended.size() == values) continue;
    throw Error(ErrorCode::kInvalidOption, "What heads attend does not fit them");
  }
}

LayerRunResult RunRequest(Transformer& transformer, const LayerRunRequest& request) {
  const size_t hidden = request.tokens.size() * static_cast<size_t>(transformer.spec().hidden_size);
  if (!request.input.empty() && request.input.size() != hidden) {
    throw Error(ErrorCode::kInvalidOption, "input does not fit the tokens");
  }
  HeadPatch patch = request.patch;
  patch.values = request.attended.data();
  CheckAttended(transformer.spec(), request);
  LayerRunResult result;
  result.hidden.resize(hidden);
  const bool has_logits = transformer.spec().head == HeadKind::kLogits;
  const size_t vocab = static_cast<size_t>(transformer.spec().vocab_size);
  if (has_logits) result.logits.resize(request.rows.size() * vocab);
  SelectingSink sink(request.taps);
  transformer.RunLayers(
      request.tokens,
      {request.first, request.end, request.input.empty() ? nullptr : request.input.data(),
       patch.heads.empty() ? nullptr : &patch},
      request.place, request.rows, request.taps.empty() && !request.timed ? nullptr : &sink,
      result.hidden.data(), [&](const StepRows& rows) {
        if (!has_logits) return;  // its final norm is a tap
        std::vector<float> buffer;
        const int64_t values = rows.count * transformer.spec().vocab_size;
        std::copy_n(transformer.backend().HostView(rows.logits, values, &buffer), values,
                    result.logits.begin() + static_cast<int64_t>(static_cast<size_t>(rows.first) * vocab));
      });
  result.taps = std::move(sink.taps);
  if (request.timed) result.times = std::move(sink.times);
  return result;
}

}  // namespace

Napi::Value ModelWrap::RunLayers(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    Live();
    return RunAsync(env, "kvasir.runLayers", [engine = engine_, request = LayerRunFromJs(info[0])] {
      auto result = std::make_shared<LayerRunResult>();
      engine->Inspect([&](Transformer& transformer) { *result = RunRequest(transformer, request); });
      return [result](Napi::Env js) -> Napi::Value {
        const Napi::Object object = Napi::Object::New(js);
        object.Set("hidden", FloatsToJs(js, result->hidden));
        object.Set("logits", FloatsToJs(js, result->logits));
        const Napi::Object taps = Napi::Object::New(js);
        for (const Tap& tap : result->taps) taps.Set(tap.name, FloatsToJs(js, tap.values));
        object.Set("taps", taps);
        object.Set("times", TimesToJs(js, result->times));
        return object;
      };
    });
  });
}

// applyLinear(name, x) -> [rows, n]
Napi::Value ModelWrap::ApplyLinear(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    Live();
    return RunAsync(env, "kvasir.applyLinear",
                    [engine = engine_, name = info[0].ToString().Utf8Value(),
                     x = VectorFromTypedArray<float>(info[1], napi_float32_array, "x")]() mutable {
                      auto out = std::make_shared<std::vector<float>>();
                      engine->Inspect([&](Transformer& transformer) {
                        const LinearWeight& linear = LinearNamed(transformer, name);
                        const int64_t rows = RowsFor(linear, x);
                        out->resize(static_cast<size_t>(rows * linear.n));
                        transformer.ApplyLinear(linear, x.data(), rows, out->data());
                      });
                      return [out](Napi::Env js) -> Napi::Value { return FloatsToJs(js, *out); };
                    });
  });
}

// applyGateUp(name, x) -> [rows, inputs of its down]
Napi::Value ModelWrap::ApplyGateUp(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    Live();
    return RunAsync(env, "kvasir.applyGateUp",
                    [engine = engine_, name = info[0].ToString().Utf8Value(),
                     x = VectorFromTypedArray<float>(info[1], napi_float32_array, "x")]() mutable {
                      auto out = std::make_shared<std::vector<float>>();
                      engine->Inspect([&](Transformer& transformer) {
                        const ModelSpec& spec = transformer.spec();
                        const int64_t layer = LayerOfGateUp(spec, name);
                        const LinearWeight& gate_up = LinearNamed(transformer, name);
                        const int64_t rows = RowsFor(gate_up, x);
                        const int64_t halves = spec.feed_forward_of(layer).gated ? 2 : 1;
                        out->resize(static_cast<size_t>(rows * gate_up.n / halves));
                        transformer.ApplyGateUp(layer, gate_up, x.data(), rows, out->data());
                      });
                      return [out](Napi::Env js) -> Napi::Value { return FloatsToJs(js, *out); };
                    });
  });
}

// weightRows(name, first, count) -> [count, columns], as the weights are in memory
Napi::Value ModelWrap::WeightRows(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    Live();
    return RunAsync(
        env, "kvasir.weightRows",
        [engine = engine_, name = info[0].ToString().Utf8Value(), first = info[1].ToNumber().Int64Value(),
         count = info[2].ToNumber().Int64Value()] {
          auto out = std::make_shared<std::vector<float>>();
          engine->Inspect([&](Transformer& transformer) { *out = RowsOf(transformer, name, first, count); });
          return [out](Napi::Env js) -> Napi::Value { return FloatsToJs(js, *out); };
        });
  });
}

// borrow(lender, names)
void ModelWrap::Borrow(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Guard(env, [&] {
    if (!info[0].IsObject() ||
        !info[0].As<Napi::Object>().InstanceOf(AddonData::Of(env).model_class.Value())) {
      throw Napi::TypeError::New(env, "lender is not a model");
    }
    ModelWrap* lender = Napi::ObjectWrap<ModelWrap>::Unwrap(info[0].As<Napi::Object>());
    lender->Live();
    const std::vector<std::string> names = NamesFromJs(info[1], "names");
    Live().Inspect(
        [&](Transformer& transformer) { transformer.Borrow(lender->engine_->transformer(), names); });
    lender_ = lender->engine_;
  });
}

}  // namespace kvasir::addon
