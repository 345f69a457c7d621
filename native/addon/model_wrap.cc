#include "addon/model_wrap.h"

#include <algorithm>

#include "addon/addon_data.h"
#include "addon/from_js.h"
#include "model/linears.h"
#include "runtime/session_file.h"

namespace kvasir::addon {

namespace {

// Layers lie on the CPU, then on the GPU; either may have none.
void SetBackends(const Napi::Object& info, const Transformer& transformer) {
  std::string kernels, device;
  int threads = 0;
  int64_t gpu_layers = 0;
  for (const auto& stage : transformer.stages()) {
    const Backend& backend = stage->backend();
    kernels += (kernels.empty() ? "" : " + ") + backend.traits().kernels;
    threads = std::max(threads, backend.traits().threads);
    device = backend.name();
    if (device != "cpu") gpu_layers += stage->end() - stage->first();
  }
  info.Set("kernels", kernels);
  info.Set("threads", threads);
  info.Set("device", device);
  info.Set("gpuLayers", static_cast<double>(gpu_layers));
}

// What sequences may hold, and what is kept of them.
void SetCache(const Napi::Object& info, const Transformer& transformer) {
  const Napi::Env env = info.Env();
  const KvTables& kv = transformer.kv_tables();
  info.Set("kvBytes", static_cast<double>(transformer.kv_bytes()));
  info.Set("kvBytesPerToken", static_cast<double>(transformer.kv_page_bytes()) / kKvPagePositions);
  info.Set("kvCapacity", static_cast<double>(kv.capacity));
  info.Set("kvPageSize", static_cast<double>(kKvPagePositions));
  info.Set("stateSlots", static_cast<double>(transformer.state_counts().running));
  info.Set("keptStates", static_cast<double>(transformer.state_counts().kept));
  info.Set("stateBytes", static_cast<double>(transformer.state_bytes()));
  const Napi::Array tables = Napi::Array::New(env, kv.tables.size());
  for (uint32_t i = 0; i < kv.tables.size(); ++i) {
    const Napi::Object table = Napi::Object::New(env);
    table.Set("window", static_cast<double>(kv.tables[i].window));
    table.Set("pages", static_cast<double>(kv.tables[i].n_pages));
    tables.Set(i, table);
  }
  info.Set("kvTables", tables);
  const Napi::Object checkpoints = Napi::Object::New(env);
  checkpoints.Set("every", static_cast<double>(kCheckpointPositions));
  checkpoints.Set("most", static_cast<double>(kv.checkpoints));
  checkpoints.Set("ofPrompt", static_cast<double>(kCheckpoints));
  checkpoints.Set("bytes", static_cast<double>(transformer.checkpoint_bytes()));
  info.Set("checkpoints", checkpoints);
}

Napi::Object InfoToJs(Napi::Env env, const Transformer& transformer) {
  const Weights& weights = transformer.weights();
  const Napi::Object info = Napi::Object::New(env);
  SetBackends(info, transformer);
  info.Set("parameters", static_cast<double>(weights.parameters));
  info.Set("weightBytes", static_cast<double>(weights.bytes));
  info.Set("scaleBytes", static_cast<double>(weights.scale_bytes));
  SetCache(info, transformer);
  info.Set("stepTokens", static_cast<double>(transformer.step_rows()));
  info.Set("scratchBytes", static_cast<double>(transformer.scratch_bytes()));
  const Napi::Object linears = Napi::Object::New(env);
  for (const auto& [name, weight] : LinearsOf(transformer.spec(), weights)) {
    const LinearWeight& linear = *weight;
    const Napi::Object entry = Napi::Object::New(env);
    entry.Set("dtype", linear.dtype == Dtype::kInt8 ? "int8" : "fp32");
    entry.Set("outputs", static_cast<double>(linear.n));
    entry.Set("inputs", static_cast<double>(linear.k));
    linears.Set(name, entry);
  }
  info.Set("linears", linears);
  return info;
}

// Bits of StepBatch.wants in lib/native.ts.
constexpr int kWantsLogits = 1, kWantsHidden = 2;

// [n], or empty where it is absent.
std::vector<uint8_t> OptionalBytes(const Napi::Object& batch, const char* name, size_t n) {
  const Napi::Value value = batch.Get(name);
  if (value.IsUndefined()) return {};
  std::vector<uint8_t> bytes = VectorFromTypedArray<uint8_t>(value, napi_uint8_array, name);
  if (bytes.size() != n) throw Napi::TypeError::New(batch.Env(), std::string(name) + " has another length");
  return bytes;
}

StepRequest RequestFromJs(const Napi::Value& value) {
  if (!value.IsObject()) throw Napi::TypeError::New(value.Env(), "batch is not an object");
  const Napi::Object batch = value.As<Napi::Object>();
  const auto ints = [&](const char* name) {
    return VectorFromTypedArray<int32_t>(batch.Get(name), napi_int32_array, name);
  };
  StepRequest request;
  const std::vector<int32_t> sequences = ints("sequences"), counts = ints("counts");
  if (sequences.size() != counts.size()) {
    throw Napi::TypeError::New(value.Env(), "sequences and counts differ in length");
  }
  std::vector<int32_t> adapters(sequences.size(), -1);
  if (!batch.Get("adapters").IsUndefined()) adapters = ints("adapters");
  if (adapters.size() != sequences.size()) {
    throw Napi::TypeError::New(value.Env(), "sequences and adapters differ in length");
  }
  for (size_t i = 0; i < sequences.size(); ++i) {
    request.batch.sequences.push_back({sequences[i], counts[i], adapters[i]});
  }
  request.batch.tokens = ints("tokens");
  if (!batch.Get("types").IsUndefined()) request.batch.types = ints("types");
  const std::vector<int32_t> rows = ints("rows");
  const std::vector<uint8_t> wants = OptionalBytes(batch, "wants", rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const int want = wants.empty() ? kWantsLogits : wants[i];
    request.batch.wanted.emplace_back(rows[i], (want & kWantsLogits) != 0, (want & kWantsHidden) != 0);
  }
  request.targets = ints("targets");
  request.temperatures =
      VectorFromTypedArray<float>(batch.Get("temperatures"), napi_float32_array, "temperatures");
  request.full_logits =
      VectorFromTypedArray<uint8_t>(batch.Get("fullLogits"), napi_uint8_array, "fullLogits");
  return request;
}

int32_t SequenceArgument(const Napi::CallbackInfo& info) {
  if (!info[0].IsNumber()) throw Napi::TypeError::New(info.Env(), "sequence is not a number");
  return info[0].As<Napi::Number>().Int32Value();
}

// [page tables]
template <typename CountFn>
Napi::Value OfEachTable(Napi::Env env, const KvCache& cache, const CountFn& count) {
  const Napi::Array counts = Napi::Array::New(env, static_cast<size_t>(cache.n_tables()));
  for (uint32_t i = 0; i < counts.Length(); ++i) counts.Set(i, static_cast<double>(count(i)));
  return counts;
}

int64_t LengthArgument(const Napi::CallbackInfo& info) {
  if (!info[1].IsNumber()) throw Napi::TypeError::New(info.Env(), "length is not a number");
  return info[1].As<Napi::Number>().Int64Value();
}

}  // namespace

Napi::Function ModelWrap::Define(Napi::Env env) {
  return DefineClass(env, "NativeModel",
                     {InstanceMethod<&ModelWrap::CreateSequence>("createSequence"),
                      InstanceMethod<&ModelWrap::ForkSequence>("forkSequence"),
                      InstanceMethod<&ModelWrap::TruncateSequence>("truncateSequence"),
                      InstanceMethod<&ModelWrap::FreeSequence>("freeSequence"),
                      InstanceMethod<&ModelWrap::SequenceLength>("sequenceLength"),
                      InstanceMethod<&ModelWrap::ShortestPrefix>("shortestPrefix"),
                      InstanceMethod<&ModelWrap::FreePages>("freePages"),
                      InstanceMethod<&ModelWrap::OwnPages>("ownPages"),
                      InstanceMethod<&ModelWrap::Step>("step"),
                      InstanceMethod<&ModelWrap::RunLayers>("runLayers"),
                      InstanceMethod<&ModelWrap::ApplyLinear>("applyLinear"),
                      InstanceMethod<&ModelWrap::ApplyGateUp>("applyGateUp"),
                      InstanceMethod<&ModelWrap::WeightRows>("weightRows"),
                      InstanceMethod<&ModelWrap::Borrow>("borrow"),
                      InstanceMethod<&ModelWrap::LoadAdapter>("loadAdapter"),
                      InstanceMethod<&ModelWrap::FreeAdapter>("freeAdapter"),
                      InstanceMethod<&ModelWrap::AdapterBytes>("adapterBytes"),
                      InstanceMethod<&ModelWrap::SaveSequence>("saveSequence"),
                      InstanceMethod<&ModelWrap::RestoreSequence>("restoreSequence"),
                      InstanceMethod<&ModelWrap::CancelSequence>("cancelSequence"),
                      InstanceMethod<&ModelWrap::Dispose>("dispose")});
}

Napi::Value ModelWrap::Wrap(Napi::Env env, std::unique_ptr<Engine> engine) {
  const Napi::Object object = AddonData::Of(env).model_class.New({});
  ModelWrap* model = Napi::ObjectWrap<ModelWrap>::Unwrap(object);
  model->queue_ = JsQueue(env, "kvasir.step");
  model->engine_ = std::move(engine);
  model->queue_.Unref(env);
  object.Set("info", InfoToJs(env, model->engine_->transformer()));
  return object;
}

ModelWrap::~ModelWrap() {
  if (engine_ == nullptr) return;
  engine_.reset();
  queue_.Release();
}

Engine& ModelWrap::Live() {
  if (engine_ == nullptr) throw Error(ErrorCode::kDisposed, "The model was disposed; load it again");
  return *engine_;
}

Napi::Value ModelWrap::CreateSequence(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] { return Napi::Number::New(info.Env(), Live().cache().Create()); });
}

Napi::Value ModelWrap::ForkSequence(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] {
    return Napi::Number::New(info.Env(), Live().cache().Fork(SequenceArgument(info), LengthArgument(info)));
  });
}

void ModelWrap::TruncateSequence(const Napi::CallbackInfo& info) {
  Guard(info.Env(), [&] { Live().cache().Truncate(SequenceArgument(info), LengthArgument(info)); });
}

void ModelWrap::FreeSequence(const Napi::CallbackInfo& info) {
  Guard(info.Env(), [&] { Live().FreeSequence(SequenceArgument(info)); });
}

Napi::Value ModelWrap::SequenceLength(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] {
    return Napi::Number::New(info.Env(), static_cast<double>(Live().cache().Length(SequenceArgument(info))));
  });
}

Napi::Value ModelWrap::ShortestPrefix(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] {
    return Napi::Number::New(info.Env(),
                             static_cast<double>(Live().cache().Shortest(SequenceArgument(info))));
  });
}

Napi::Value ModelWrap::FreePages(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] {
    const KvCache& cache = Live().cache();
    return OfEachTable(info.Env(), cache, [&](int64_t table) { return cache.free_pages(table); });
  });
}

Napi::Value ModelWrap::OwnPages(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] {
    const KvCache& cache = Live().cache();
    const std::vector<int32_t> sequences =
        VectorFromTypedArray<int32_t>(info[0], napi_int32_array, "sequences");
    return OfEachTable(info.Env(), cache, [&](int64_t table) { return cache.OwnPages(sequences, table); });
  });
}

void ModelWrap::CancelSequence(const Napi::CallbackInfo& info) {
  Guard(info.Env(), [&] { Live().Cancel(SequenceArgument(info)); });
}

// loadAdapter(tensors) -> its number
Napi::Value ModelWrap::LoadAdapter(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    Live();
    return RunAsync(env, "kvasir.loadAdapter", [engine = engine_, tensors = AdapterFromJs(info[0])] {
      const int32_t id = engine->LoadAdapter(tensors);
      return [id](Napi::Env js) -> Napi::Value { return Napi::Number::New(js, id); };
    });
  });
}

void ModelWrap::FreeAdapter(const Napi::CallbackInfo& info) {
  Guard(info.Env(), [&] {
    if (!info[0].IsNumber()) throw Napi::TypeError::New(info.Env(), "adapter is not a number");
    Live().FreeAdapter(info[0].As<Napi::Number>().Int32Value());
  });
}

Napi::Value ModelWrap::AdapterBytes(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] {
    return Napi::Number::New(info.Env(), static_cast<double>(Live().transformer().adapter_bytes()));
  });
}

// saveSequence(sequence, text, path) -> bytes
Napi::Value ModelWrap::SaveSequence(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    Live();
    const int32_t sequence = SequenceArgument(info);
    return RunAsync(env, "kvasir.saveSequence",
                    [engine = engine_, sequence, text = info[1].ToString().Utf8Value(),
                     path = info[2].ToString().Utf8Value()] {
                      int64_t bytes = 0;
                      engine->Inspect([&](Transformer& model) {
                        bytes = WriteSessionFile(&model, sequence, text, path);
                      });
                      return [bytes](Napi::Env js) -> Napi::Value {
                        return Napi::Number::New(js, static_cast<double>(bytes));
                      };
                    });
  });
}

// restoreSequence(path) -> sequence
Napi::Value ModelWrap::RestoreSequence(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    Live();
    return RunAsync(env, "kvasir.restoreSequence", [engine = engine_, path = info[0].ToString().Utf8Value()] {
      int32_t sequence = kNoSequence;
      engine->Inspect([&](Transformer& model) { sequence = RestoreFromSessionFile(&model, path); });
      return [sequence](Napi::Env js) -> Napi::Value { return Napi::Number::New(js, sequence); };
    });
  });
}

Napi::Value ModelWrap::Step(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto deferred = std::make_unique<Napi::Promise::Deferred>(Napi::Promise::Deferred::New(env));
  const Napi::Promise promise = deferred->Promise();
  try {
    StepRequest request = RequestFromJs(info[0]);
    // On the engine's thread this object may be gone, with its environment; on the JS thread Ref() has kept it.
    Live().Submit(std::move(request), [this, queue = queue_](StepResult result) {
      queue.Post([this, result = std::move(result)](Napi::Env js) {
        const std::unique_ptr<Napi::Promise::Deferred> settled = std::move(pending_);
        if (engine_ != nullptr) queue_.Unref(js);
        Unref();
        if (result.error) {
          settled->Reject(ErrorToJs(js, *result.error));
        } else {
          settled->Resolve(results_.ToJs(js, result));
        }
      });
    });
    // The step holds this object and the process; the result is delivered on this thread, so not before this line.
    pending_ = std::move(deferred);
    Ref();
    queue_.Ref(env);
  } catch (const Error& error) {
    deferred->Reject(ErrorToJs(env, error));
  } catch (const Napi::Error& error) {
    deferred->Reject(error.Value());
  }
  return promise;
}

Napi::Value ModelWrap::Dispose(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!disposed_.IsEmpty()) return disposed_.Value();
  // The engine dies on another thread, where there is one: its destructor waits for the running step, then gives the
  // memory back.
  const Napi::Promise promise = RunAsync(
      env, "kvasir.dispose",
      [engine = std::move(engine_), lender = std::move(lender_), queue = queue_]() mutable {
        engine.reset();
        lender.reset();
        queue.Release();
        return [](Napi::Env js) -> Napi::Value { return js.Undefined(); };
      },
      WithoutThread::kRunHere);
  disposed_ = Napi::Persistent(promise);
  return promise;
}

}  // namespace kvasir::addon
