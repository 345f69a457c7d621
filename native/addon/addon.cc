// The N-API surface of lib/native.ts: it parses arguments, queues work and converts results. No arithmetic.
#include <napi.h>

#include <chrono>
#include <cstdlib>
#include <cstring>

#include "addon/addon_data.h"
#include "addon/async.h"
#include "addon/container_wrap.h"
#include "addon/declared_tensors.h"
#include "addon/from_js.h"
#include "addon/grammar_wrap.h"
#include "addon/model_wrap.h"
#include "addon/vectors_wrap.h"
#include "backend/cpu.h"
#include "backend/cuda_library.h"
#include "core/aligned_buffer.h"
#include "core/loaded_code.h"
#include "core/release_memory.h"
#include "core/thread_pool.h"
#include "core/thread_schedule.h"
#include "model/tensors.h"
#include "model/weights.h"
#include "runtime/load.h"
#include "runtime/quantize.h"
#include "runtime/session_file.h"

namespace kvasir::addon {

namespace {

Napi::Value OpenContainer(const Napi::CallbackInfo& info) {
  if (!info[0].IsArray()) throw Napi::TypeError::New(info.Env(), "paths is not an array");
  std::vector<std::string> paths;
  const Napi::Array list = info[0].As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) paths.push_back(list.Get(i).ToString().Utf8Value());
  return RunAsync(info.Env(), "kvasir.open", [paths = std::move(paths)] {
    std::shared_ptr<Container> container = Container::Open(paths);
    return [container](Napi::Env env) { return ContainerWrap::Wrap(env, container); };
  });
}

// Reports at most every 50 ms, and the end; the callback lives until the load has settled.
class ProgressReporter {
 public:
  ProgressReporter(Napi::Env env, const Napi::Value& callback) {
    if (!callback.IsFunction()) return;
    callback_ = std::make_shared<Napi::FunctionReference>(Napi::Persistent(callback.As<Napi::Function>()));
    queue_ = JsQueue(env, "kvasir.progress");
  }
  ~ProgressReporter() { Close(); }
  ProgressReporter(const ProgressReporter&) = delete;
  ProgressReporter& operator=(const ProgressReporter&) = delete;

  void operator()(int64_t loaded, int64_t total) {
    if (callback_ == nullptr) return;
    const auto now = std::chrono::steady_clock::now();
    if (loaded < total && now - last_ < std::chrono::milliseconds(50)) return;
    last_ = now;
    queue_.Post([callback = callback_, loaded, total](Napi::Env env) {
      try {
        callback->Call({Napi::Number::New(env, static_cast<double>(loaded)),
                        Napi::Number::New(env, static_cast<double>(total))});
      } catch (const Napi::Error&) {
        // A listener that throws must not end the load or the process.
      }
    });
  }
  // The reference is dropped on the JS thread, or dies with its environment.
  void Close() {
    if (callback_ == nullptr) return;
    Napi::FunctionReference& callback = *callback_;
    JsTask drop = [held = std::move(callback_)](Napi::Env) {};
    if (!queue_.Post(std::move(drop))) callback.SuppressDestruct();
    queue_.Release();
  }

 private:
  std::shared_ptr<Napi::FunctionReference> callback_;
  JsQueue queue_;
  std::chrono::steady_clock::time_point last_{};
};

// { promise, cancel() } of work on a thread of its own, whose progress is closed when it has ended.
Napi::Value CancellableToJs(
    Napi::Env env, const char* name, const std::shared_ptr<ProgressReporter>& progress,
    std::function<std::function<Napi::Value(Napi::Env)>(const CancellationToken&)> work) {
  const auto cancellation = std::make_shared<CancellationToken>();
  const Napi::Promise promise = RunAsync(env, name, [=, work = std::move(work)] {
    struct Closer {
      ProgressReporter& reporter;
      ~Closer() { reporter.Close(); }
    } closer{*progress};
    return work(*cancellation);
  });
  const Napi::Object running = Napi::Object::New(env);
  running.Set("promise", promise);
  running.Set("cancel", Napi::Function::New(
                            env, [cancellation](const Napi::CallbackInfo&) { cancellation->Cancel(); }));
  return running;
}

// (container, spec, tensors, options), with which both loading and quantizing begin.
struct ModelSource {
  std::shared_ptr<Container> container;
  ModelSpec spec;
  TensorMap tensors;
  LoadOptions options;
  std::shared_ptr<ProgressReporter> progress;
};

ModelSource SourceFromJs(const Napi::CallbackInfo& info) {
  return {ContainerWrap::ContainerOf(info[0]), SpecFromJs(info[1]), TensorMapFromJs(info[2]),
          LoadOptionsFromJs(info[3]),
          std::make_shared<ProgressReporter>(info.Env(), info[3].As<Napi::Object>().Get("onProgress"))};
}

Napi::Value LoadModel(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    const ModelSource source = SourceFromJs(info);
    return CancellableToJs(env, "kvasir.load", source.progress, [=](const CancellationToken& cancellation) {
      std::unique_ptr<Transformer> transformer =
          LoadTransformer(source.spec, source.tensors, source.options, *source.container, cancellation,
                          [&](int64_t loaded, int64_t total) { (*source.progress)(loaded, total); });
      // Shared only because std::function must be copyable.
      auto engine =
          std::make_shared<std::unique_ptr<Engine>>(std::make_unique<Engine>(std::move(transformer)));
      return [engine](Napi::Env js) { return ModelWrap::Wrap(js, std::move(*engine)); };
    });
  });
}

// quantizeModel(container, spec, tensors, options, path, metadata)
Napi::Value QuantizeModel(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    const ModelSource source = SourceFromJs(info);
    const std::string path = info[4].ToString().Utf8Value();
    const std::map<std::string, std::string> metadata = StringsFromJs(info[5]);
    return CancellableToJs(
        env, "kvasir.quantize", source.progress, [=](const CancellationToken& cancellation) {
          const int64_t bytes = QuantizeToFile(
              source.spec, source.tensors, source.options, *source.container, path, metadata, cancellation,
              [&](int64_t done, int64_t total) { (*source.progress)(done, total); });
          ReleaseFreeMemory();
          return [bytes](Napi::Env js) -> Napi::Value {
            return Napi::Number::New(js, static_cast<double>(bytes));
          };
        });
  });
}

// readSessionText(path) -> { text, positions }
Napi::Value ReadSessionTextForJs(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    return RunAsync(env, "kvasir.readSessionText", [path = info[0].ToString().Utf8Value()] {
      return [read = ReadSessionText(path)](Napi::Env js) -> Napi::Value {
        const Napi::Object object = Napi::Object::New(js);
        object.Set("text", read.text);
        object.Set("positions", static_cast<double>(read.positions));
        return object;
      };
    });
  });
}

const char* RoleName(TensorRole role) {
  switch (role) {
    case TensorRole::kTable: return "table";
    case TensorRole::kLinear: return "linear";
    case TensorRole::kVector: break;
  }
  return "vector";
}

Napi::Value TensorsOfForJs(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    const ModelSpec spec = SpecFromJs(info[0]);
    const std::vector<ModelTensor> tensors = TensorsOf(spec);
    const Napi::Array list = Napi::Array::New(env, tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      const ModelTensor& tensor = tensors[i];
      const Napi::Object entry = Napi::Object::New(env);
      entry.Set("name", tensor.name);
      entry.Set("role", RoleName(tensor.role));
      entry.Set("layer", static_cast<double>(tensor.layer));
      entry.Set("expert", static_cast<double>(tensor.expert));
      if (const char* reads = ReadBy(tensor, spec)) entry.Set("reads", reads);
      entry.Set("rows", static_cast<double>(tensor.rows));
      entry.Set("columns", static_cast<double>(tensor.columns));
      entry.Set("optional", tensor.optional);
      entry.Set("float32", tensor.float32);
      const Napi::Array parts = Napi::Array::New(env, tensor.parts.size());
      const Napi::Array part_rows = Napi::Array::New(env, tensor.parts.size());
      for (uint32_t part = 0; part < parts.Length(); ++part) {
        parts.Set(part, tensor.parts[part].name);
        part_rows.Set(part, static_cast<double>(tensor.parts[part].rows));
      }
      entry.Set("parts", parts);
      entry.Set("partRows", part_rows);
      list.Set(static_cast<uint32_t>(i), entry);
    }
    return list;
  });
}

// checkTensors(entries, spec, tensors)
Napi::Value CheckTensorsForJs(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    CheckTensors(SpecFromJs(info[1]), TensorMapFromJs(info[2]), DeclaredTensors(info[0]));
    return env.Undefined();
  });
}

// Lists of {name, rank}, or undefined.
std::vector<std::vector<AdapterShape>> AdapterShapesFromJs(const Napi::Value& value) {
  std::vector<std::vector<AdapterShape>> adapters;
  if (value.IsUndefined()) return adapters;
  const auto array = [](const Napi::Value& from, const char* what) {
    if (!from.IsArray()) throw Napi::TypeError::New(from.Env(), what);
    return from.As<Napi::Array>();
  };
  const Napi::Array list = array(value, "adapters is not an array");
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Array tensors = array(list.Get(i), "an adapter is not an array");
    adapters.emplace_back();
    for (uint32_t k = 0; k < tensors.Length(); ++k) {
      const Napi::Object tensor = tensors.Get(k).ToObject();
      adapters.back().push_back(
          {tensor.Get("name").ToString().Utf8Value(), tensor.Get("rank").ToNumber().Int64Value()});
    }
  }
  return adapters;
}

// predictMemory(spec, tensors, options, adapters?)
Napi::Value PredictMemoryForJs(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    const MemoryPrediction prediction =
        PredictMemory(SpecFromJs(info[0]), TensorMapFromJs(info[1]), LoadOptionsFromJs(info[2]),
                      AdapterShapesFromJs(info[3]));
    const Napi::Object object = Napi::Object::New(env);
    object.Set("weights", static_cast<double>(prediction.weights));
    object.Set("kv", static_cast<double>(prediction.kv));
    object.Set("checkpoints", static_cast<double>(prediction.checkpoints));
    const Napi::Array windows = Napi::Array::New(env, prediction.windows.size());
    for (uint32_t i = 0; i < windows.Length(); ++i) {
      windows.Set(i, static_cast<double>(prediction.windows[i]));
    }
    object.Set("windows", windows);
    object.Set("scratch", static_cast<double>(prediction.scratch));
    object.Set("adapters", static_cast<double>(prediction.adapters));
    return object;
  });
}

Napi::Array NamesToJs(Napi::Env env, const std::vector<std::string>& names) {
  const Napi::Array list = Napi::Array::New(env, names.size());
  for (uint32_t i = 0; i < names.size(); ++i) list.Set(i, names[i]);
  return list;
}

Napi::Value Cpu(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const CpuReport cpu = DescribeCpu();
  const Napi::Object report = Napi::Object::New(env);
  report.Set("brand", cpu.brand);
  report.Set("compiled", NamesToJs(env, cpu.compiled));
  report.Set("available", NamesToJs(env, cpu.available));
  report.Set("cores", cpu.cores);
  if (cpu.error.empty()) {
    report.Set("selected", cpu.selected);
  } else {
    report.Set("error", cpu.error);
  }
  return report;
}

// 12040 as "12.4".
std::string CudaVersion(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

Napi::Object DeviceToJs(Napi::Env env, const CudaDevice& device, size_t index) {
  const Napi::Object object = Napi::Object::New(env);
  object.Set("index", static_cast<double>(index));
  object.Set("name", device.name);
  object.Set("architecture", "sm_" + std::to_string(device.major * 10 + device.minor));
  object.Set("multiprocessors", device.multiprocessors);
  object.Set("totalMemory", static_cast<double>(device.total_bytes));
  if (device.free_bytes >= 0) object.Set("freeMemory", static_cast<double>(device.free_bytes));
  if (device.bandwidth > 0) object.Set("bandwidth", static_cast<double>(device.bandwidth));
  if (device.clock > 0) object.Set("clock", static_cast<double>(device.clock));
  if (!device.problem.empty()) object.Set("problem", device.problem);
  return object;
}

Napi::Object CudaToJs(Napi::Env env, const CudaReport& cuda) {
  const Napi::Object report = Napi::Object::New(env);
  report.Set("status", CudaStatusName(cuda.status));
  report.Set("message", cuda.message);
  report.Set("library", cuda.library);
  if (!cuda.targets.empty()) report.Set("targets", cuda.targets);
  if (cuda.driver_version > 0) report.Set("driverVersion", CudaVersion(cuda.driver_version));
  if (cuda.runtime_version > 0) report.Set("runtimeVersion", CudaVersion(cuda.runtime_version));
  const Napi::Array devices = Napi::Array::New(env, cuda.devices.size());
  for (size_t i = 0; i < cuda.devices.size(); ++i) {
    devices.Set(static_cast<uint32_t>(i), DeviceToJs(env, cuda.devices[i], i));
  }
  report.Set("devices", devices);
  return report;
}

Napi::Value Cuda(const Napi::CallbackInfo& info) {
  const bool free_memory = info[0].ToBoolean();
  return RunAsync(info.Env(), "kvasir.cuda", [library = ForcedCudaLibrary(), free_memory] {
    const CudaReport report = DescribeCuda(library, free_memory);
    return [report](Napi::Env env) -> Napi::Value { return CudaToJs(env, report); };
  });
}

#if defined(KVASIR_TESTING)
Napi::Value LiveBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(AlignedBuffer::LiveBytes()));
}
#endif

Napi::Value ReleaseMemory(const Napi::CallbackInfo& info) {
  return RunAsync(
      info.Env(), "kvasir.release",
      [] {
        ReleaseFreeMemory();
        return [](Napi::Env env) -> Napi::Value { return env.Undefined(); };
      },
      WithoutThread::kRunHere);
}

// What changes the process around this library is done on request alone. On the thread that may write the environment.
bool Is(const char* variable, const char* expected) {
  const char* value = std::getenv(variable);
  return value != nullptr && std::strcmp(value, expected) == 0;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  KeepThisCodeLoaded();
  if (Is("KVASIR_SHORT_TIME_SLICE", "1")) PreferShortTimeSlice();  // this thread has an event loop
  if (Is("KVASIR_TRIM_HEAP", "1")) AllowReleasing();
  if (Is("KVASIR_MOVE_THREADS", "0")) ThreadPool::StayPut();
  auto data = std::make_unique<AddonData>();
  data->container_class = Napi::Persistent(ContainerWrap::Define(env));
  data->model_class = Napi::Persistent(ModelWrap::Define(env));
  data->vectors_class = Napi::Persistent(VectorsWrap::Define(env));
  DefineGrammarClasses(env, *data);
  env.SetInstanceData(data.release());
  exports.Set("openContainer", Napi::Function::New(env, OpenContainer));
  exports.Set("loadModel", Napi::Function::New(env, LoadModel));
  exports.Set("readSessionText", Napi::Function::New(env, ReadSessionTextForJs));
  exports.Set("quantizeModel", Napi::Function::New(env, QuantizeModel));
  exports.Set("tensorsOf", Napi::Function::New(env, TensorsOfForJs));
  exports.Set("checkTensors", Napi::Function::New(env, CheckTensorsForJs));
  exports.Set("predictMemory", Napi::Function::New(env, PredictMemoryForJs));
  exports.Set("createVectors", Napi::Function::New(env, VectorsWrap::Create));
  exports.Set("releaseMemory", Napi::Function::New(env, ReleaseMemory));
#if defined(KVASIR_TESTING)
  exports.Set("liveBytes", Napi::Function::New(env, LiveBytes));
#endif
  exports.Set("createTokenTrie", Napi::Function::New(env, CreateTokenTrie));
  exports.Set("cpu", Napi::Function::New(env, Cpu));
  exports.Set("cuda", Napi::Function::New(env, Cuda));
  return exports;
}

NODE_API_MODULE(kvasir, Init)

}  // namespace

}  // namespace kvasir::addon
