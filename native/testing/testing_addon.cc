// kvasir_testing.node: what tests see of the core that the shipped addon does not show. It runs the Transformer that
// generates, with a tap sink set, and reads tensors as the loader does. Everything is synchronous. Never shipped.
#include <napi.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "backend/cpu.h"
#include "model/tensor_reader.h"
#include "runtime/load.h"

// The shipped addon's own parsers; sources.txt lists each source for one addon only.
#include "addon/async.cc"
#include "addon/from_js.cc"
#include "testing/machine_limits.h"

namespace kvasir::testing {

namespace {

struct Tap {
  std::string name;
  int64_t rows;
  int64_t columns;
  std::vector<float> values;
};

class RecordingSink : public TapSink {
 public:
  void Record(const std::string& name, const float* values, int64_t rows, int64_t columns) override {
    taps.push_back({name, rows, columns, std::vector<float>(values, values + rows * columns)});
  }
  std::vector<Tap> taps;
};

Napi::Value Float32ToJs(Napi::Env env, const std::vector<float>& values) {
  Napi::Float32Array array = Napi::Float32Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

Napi::Value TapsToJs(Napi::Env env, const std::vector<Tap>& taps) {
  const Napi::Array list = Napi::Array::New(env, taps.size());
  for (uint32_t i = 0; i < taps.size(); ++i) {
    const Napi::Object tap = Napi::Object::New(env);
    tap.Set("name", taps[i].name);
    tap.Set("rows", static_cast<double>(taps[i].rows));
    tap.Set("columns", static_cast<double>(taps[i].columns));
    tap.Set("values", Float32ToJs(env, taps[i].values));
    list.Set(i, tap);
  }
  return list;
}

std::vector<std::string> PathsFromJs(const Napi::Value& value) {
  std::vector<std::string> paths;
  const Napi::Array list = value.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) paths.push_back(list.Get(i).ToString().Utf8Value());
  return paths;
}

// {sequences: [{index, tokens}], rows}: `index` names a sequence of this trace, made when it is first met.
Batch BatchFromJs(const Napi::Object& step, KvCache& cache, std::map<int32_t, int32_t>* ids) {
  Batch batch;
  const Napi::Array sequences = step.Get("sequences").As<Napi::Array>();
  for (uint32_t i = 0; i < sequences.Length(); ++i) {
    const Napi::Object sequence = sequences.Get(i).As<Napi::Object>();
    const int32_t index = sequence.Get("index").As<Napi::Number>().Int32Value();
    if (ids->count(index) == 0) (*ids)[index] = cache.Create();
    const std::vector<int32_t> tokens =
        addon::VectorFromTypedArray<int32_t>(sequence.Get("tokens"), napi_int32_array, "tokens");
    batch.sequences.push_back({(*ids)[index], static_cast<int64_t>(tokens.size())});
    batch.tokens.insert(batch.tokens.end(), tokens.begin(), tokens.end());
  }
  const std::vector<int32_t> rows =
      addon::VectorFromTypedArray<int32_t>(step.Get("rows"), napi_int32_array, "rows");
  batch.wanted.assign(rows.begin(), rows.end());
  return batch;
}

// trace({paths, spec, tensors, options, isa?, steps}) -> for each step its taps, in the order of the graph.
Napi::Value Trace(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return addon::Guard(env, [&]() -> Napi::Value {
    const Napi::Object request = info[0].As<Napi::Object>();
    LoadOptions options = addon::LoadOptionsFromJs(request.Get("options"));
    if (request.Get("isa").IsString()) options.isa = request.Get("isa").As<Napi::String>().Utf8Value();
    const std::shared_ptr<Container> container = Container::Open(PathsFromJs(request.Get("paths")));
    const std::unique_ptr<Transformer> transformer = LoadTransformer(
        addon::SpecFromJs(request.Get("spec")), addon::TensorMapFromJs(request.Get("tensors")), options,
        *container, CancellationToken(), [](int64_t, int64_t) {});
    const Napi::Array steps = request.Get("steps").As<Napi::Array>();
    const Napi::Array results = Napi::Array::New(env, steps.Length());
    std::map<int32_t, int32_t> ids;
    for (uint32_t i = 0; i < steps.Length(); ++i) {
      RecordingSink sink;
      const Batch batch = BatchFromJs(steps.Get(i).As<Napi::Object>(), transformer->cache(), &ids);
      transformer->Forward(batch, nullptr, &sink, [](const StepRows&) {});
      results.Set(i, TapsToJs(env, sink.taps));
    }
    return results;
  });
}

// readTensor(paths, name) -> Float32Array, rows as the file has them.
Napi::Value ReadTensor(const Napi::CallbackInfo& info) {
  return addon::Guard(info.Env(), [&]() -> Napi::Value {
    const std::shared_ptr<Container> container = Container::Open(PathsFromJs(info[0]));
    const std::string name = info[1].ToString().Utf8Value();
    const TensorInfo* tensor = container->Find(name);
    if (tensor == nullptr) throw Error(ErrorCode::kModelFormat, "There is no tensor '" + name + "'");
    std::vector<float> values(static_cast<size_t>(tensor->elements()));
    const int64_t rows = tensor->shape.size() > 1 ? tensor->elements() / tensor->shape.back() : 1;
    container->ReadRows(*tensor, 0, rows, values.data());
    return Float32ToJs(info.Env(), values);
  });
}

// readSource(paths, {name: source}, rows, columns) -> Float32Array of the one tensor, as a load of a model reads it.
Napi::Value ReadSource(const Napi::CallbackInfo& info) {
  return addon::Guard(info.Env(), [&]() -> Napi::Value {
    const std::shared_ptr<Container> container = Container::Open(PathsFromJs(info[0]));
    const TensorMap tensors = addon::TensorMapFromJs(info[1]);
    const int64_t rows = info[2].ToNumber().Int64Value(), columns = info[3].ToNumber().Int64Value();
    TensorReader reader(*container, tensors);
    const std::string& name = tensors.begin()->first;
    reader.CheckShape(name, rows, columns);
    std::vector<float> values(static_cast<size_t>(rows * columns));
    reader.ReadRows(name, 0, rows, columns, values.data());
    return Float32ToJs(info.Env(), values);
  });
}

// machineLimits(isa, threads, bytes) -> { readBytesPerSecond, int8OpsPerSecond, fp32FlopsPerSecond }
Napi::Value MachineLimits(const Napi::CallbackInfo& info) {
  constexpr int kRounds = 12;
  const std::string isa = info[0].ToString().Utf8Value();
  const int threads = info[1].ToNumber().Int32Value();
  const PeakRates peaks = MeasurePeaks(isa, threads, kRounds);
  const Napi::Object limits = Napi::Object::New(info.Env());
  limits.Set("readBytesPerSecond", BestReadBandwidth(info[2].ToNumber().Int64Value(), threads, kRounds));
  limits.Set("int8OpsPerSecond", peaks.int8_ops);
  limits.Set("fp32FlopsPerSecond", peaks.fp32_flops);
  return limits;
}

// summarize(isa, threads, logits, candidates, temperature) -> { ids, logits, logSumExp, logSumExp1, seconds } of one row
// of logits: what native does for sampling, and how long it takes after a first time.
Napi::Value Summarize(const Napi::CallbackInfo& info) {
  return addon::Guard(info.Env(), [&]() -> Napi::Value {
    const Napi::Env env = info.Env();
    const std::unique_ptr<Backend> backend =
        MakeCpuBackend(info[1].ToNumber().Int32Value(), info[0].ToString().Utf8Value(), 64, 64);
    const Napi::Float32Array logits = info[2].As<Napi::Float32Array>();
    const int64_t vocab = static_cast<int64_t>(logits.ElementLength());
    const int64_t count = std::min(info[3].ToNumber().Int64Value(), vocab);
    Napi::Int32Array ids = Napi::Int32Array::New(env, static_cast<size_t>(count));
    Napi::Float32Array largest = Napi::Float32Array::New(env, static_cast<size_t>(count));
    LogitsSummary summary;
    summary.temperature = info[4].ToNumber().FloatValue();
    summary.ids = ids.Data();
    summary.logits = largest.Data();
    backend->Summarize(logits.Data(), 1, vocab, count, &summary);
    const auto begin = std::chrono::steady_clock::now();
    backend->Summarize(logits.Data(), 1, vocab, count, &summary);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    const Napi::Object result = Napi::Object::New(env);
    result.Set("ids", ids);
    result.Set("logits", largest);
    result.Set("logSumExp", summary.log_sum_exp);
    result.Set("logSumExp1", summary.log_sum_exp_1);
    result.Set("seconds", seconds.count());
    return result;
  });
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("trace", Napi::Function::New(env, Trace));
  exports.Set("machineLimits", Napi::Function::New(env, MachineLimits));
  exports.Set("summarize", Napi::Function::New(env, Summarize));
  exports.Set("readTensor", Napi::Function::New(env, ReadTensor));
  exports.Set("readSource", Napi::Function::New(env, ReadSource));
  return exports;
}

NODE_API_MODULE(kvasir_testing, Init)

}  // namespace

}  // namespace kvasir::testing
