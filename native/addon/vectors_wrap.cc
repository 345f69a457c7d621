#include "addon/vectors_wrap.h"

#include "addon/addon_data.h"
#include "addon/async.h"
#include "addon/from_js.h"
#include "backend/cpu.h"

namespace kvasir::addon {

namespace {

int64_t IntegerArgument(const Napi::CallbackInfo& info, size_t place, const char* name) {
  if (!info[place].IsNumber()) throw Napi::TypeError::New(info.Env(), std::string(name) + " is not a number");
  return info[place].As<Napi::Number>().Int64Value();
}

// What one query found: its columns, best first.
Napi::Value HitsToJs(Napi::Env env, const std::vector<VectorIndex::Hit>& hits) {
  Napi::Int32Array indices = Napi::Int32Array::New(env, hits.size());
  Napi::Float64Array ids = Napi::Float64Array::New(env, hits.size());
  Napi::Float64Array scores = Napi::Float64Array::New(env, hits.size());
  for (size_t i = 0; i < hits.size(); ++i) {
    indices[i] = static_cast<int32_t>(hits[i].index);
    ids[i] = hits[i].id;
    scores[i] = hits[i].score;
  }
  const Napi::Object columns = Napi::Object::New(env);
  columns.Set("indices", indices);
  columns.Set("ids", ids);
  columns.Set("scores", scores);
  return columns;
}

// Queries as they cross the border, and a flag of each.
struct Queries {
  std::vector<float> vectors;   // [n, dimensions]
  std::vector<int32_t> counts;  // [n]
  std::vector<CancellationToken> cancellations;
};

}  // namespace

Napi::Function VectorsWrap::Define(Napi::Env env) {
  return DefineClass(
      env, "NativeVectors",
      {InstanceMethod<&VectorsWrap::Add>("add"), InstanceMethod<&VectorsWrap::Search>("search"),
       InstanceMethod<&VectorsWrap::Read>("read"), InstanceMethod<&VectorsWrap::Append>("append"),
       InstanceMethod<&VectorsWrap::Truncate>("truncate"), InstanceMethod<&VectorsWrap::Dispose>("dispose")});
}

Napi::Value VectorsWrap::Create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    auto index =
        std::make_shared<VectorIndex>(IntegerArgument(info, 0, "dimensions"),
                                      static_cast<int>(IntegerArgument(info, 1, "threads")), ForcedIsa());
    const Napi::Object object = AddonData::Of(env).vectors_class.New({});
    Napi::ObjectWrap<VectorsWrap>::Unwrap(object)->index_ = std::move(index);
    return object;
  });
}

std::shared_ptr<VectorIndex> VectorsWrap::Live() const {
  if (index_ == nullptr) throw Error(ErrorCode::kDisposed, "The vector index has been disposed of");
  return index_;
}

// add(vectors, ids?)
Napi::Value VectorsWrap::Add(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    std::shared_ptr<VectorIndex> index = Live();
    std::vector<float> vectors = VectorFromTypedArray<float>(info[0], napi_float32_array, "vectors");
    std::vector<double> ids;
    if (!info[1].IsUndefined()) ids = VectorFromTypedArray<double>(info[1], napi_float64_array, "ids");
    const int64_t count = static_cast<int64_t>(vectors.size()) / index->dimensions();
    const bool has_ids = !info[1].IsUndefined();
    if (count * index->dimensions() != static_cast<int64_t>(vectors.size()) ||
        (has_ids && static_cast<int64_t>(ids.size()) != count)) {
      throw Error(ErrorCode::kInternal, "vectors and ids differ in length");
    }
    return RunAsync(
        env, "kvasir.vectors", [index, vectors = std::move(vectors), ids = std::move(ids), has_ids, count] {
          const double distance = index->Add(vectors.data(), has_ids ? ids.data() : nullptr, count);
          return [distance](Napi::Env js) -> Napi::Value { return Napi::Number::New(js, distance); };
        });
  });
}

// search(queries, counts)
Napi::Value VectorsWrap::Search(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    std::shared_ptr<VectorIndex> index = Live();
    const auto queries = std::make_shared<Queries>();
    queries->vectors = VectorFromTypedArray<float>(info[0], napi_float32_array, "queries");
    queries->counts = VectorFromTypedArray<int32_t>(info[1], napi_int32_array, "counts");
    const size_t n = queries->counts.size();
    if (queries->vectors.size() != n * static_cast<size_t>(index->dimensions())) {
      throw Error(ErrorCode::kInternal, "queries and counts differ in length");
    }
    queries->cancellations = std::vector<CancellationToken>(n);
    const Napi::Promise promise = RunAsync(env, "kvasir.search", [index, queries] {
      std::vector<VectorIndex::Query> asked;
      for (size_t q = 0; q < queries->counts.size(); ++q) {
        asked.push_back({queries->vectors.data() + q * static_cast<size_t>(index->dimensions()),
                         queries->counts[q], &queries->cancellations[q]});
      }
      return [found = index->Search(asked)](Napi::Env js) -> Napi::Value {
        const Napi::Array results = Napi::Array::New(js, found.size());
        for (size_t q = 0; q < found.size(); ++q) {
          results.Set(static_cast<uint32_t>(q), HitsToJs(js, found[q]));
        }
        return results;
      };
    });
    const Napi::Object running = Napi::Object::New(env);
    running.Set("promise", promise);
    running.Set("cancel", Napi::Function::New(env, [queries](const Napi::CallbackInfo& call) {
                  const auto query = static_cast<size_t>(IntegerArgument(call, 0, "query"));
                  if (query < queries->cancellations.size()) queries->cancellations[query].Cancel();
                }));
    return running;
  });
}

// read(first, count)
Napi::Value VectorsWrap::Read(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    const std::vector<uint8_t> bytes =
        Live()->Read(IntegerArgument(info, 0, "first"), IntegerArgument(info, 1, "count"));
    Napi::Uint8Array array = Napi::Uint8Array::New(env, bytes.size());
    std::copy(bytes.begin(), bytes.end(), array.Data());
    return array;
  });
}

// append(bytes, count, hasIds)
Napi::Value VectorsWrap::Append(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    const std::vector<uint8_t> bytes = VectorFromTypedArray<uint8_t>(info[0], napi_uint8_array, "bytes");
    Live()->Append(bytes.data(), static_cast<int64_t>(bytes.size()), IntegerArgument(info, 1, "count"),
                   info[2].ToBoolean());
    return env.Undefined();
  });
}

Napi::Value VectorsWrap::Truncate(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&]() -> Napi::Value {
    Live()->Truncate(IntegerArgument(info, 0, "size"));
    return info.Env().Undefined();
  });
}

void VectorsWrap::Dispose(const Napi::CallbackInfo& /*info*/) { index_.reset(); }

}  // namespace kvasir::addon
