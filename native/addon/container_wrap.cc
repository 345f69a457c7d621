#include "addon/container_wrap.h"

#include "addon/addon_data.h"
#include "addon/async.h"

namespace kvasir::addon {

namespace {

constexpr int64_t kSmallTensor = 256 * 1024;  // values
constexpr size_t kLongArray = 1024;           // longer ones are read one by one with metadataArray

// Strings of a vocabulary cross as they lie in the file, and JS makes strings of those that it needs. Throws
// Error(kModelFormat) for 4 GiB and more.
Napi::Value PackedStrings(Napi::Env env, const std::vector<std::string>& strings) {
  uint64_t size = 0;
  for (const std::string& text : strings) size += text.size();
  if (size > UINT32_MAX)
    throw Error(ErrorCode::kModelFormat, "A list of strings in the metadata has 4 GiB or more");
  Napi::Uint8Array bytes = Napi::Uint8Array::New(env, static_cast<size_t>(size));
  Napi::Uint32Array offsets = Napi::Uint32Array::New(env, strings.size() + 1);
  uint32_t end = 0;
  offsets[0] = 0;
  for (size_t i = 0; i < strings.size(); ++i) {
    std::copy(strings[i].begin(), strings[i].end(), bytes.Data() + end);
    end += static_cast<uint32_t>(strings[i].size());
    offsets[i + 1] = end;
  }
  const Napi::Object packed = Napi::Object::New(env);
  packed.Set("bytes", bytes);
  packed.Set("offsets", offsets);
  return packed;
}

Napi::Value ArrayToJs(Napi::Env env, const MetadataArray& array) {
  if (array.type == MetadataArray::Type::kString) return PackedStrings(env, array.strings);
  if (array.type == MetadataArray::Type::kNumber) {
    Napi::Float64Array numbers = Napi::Float64Array::New(env, array.numbers.size());
    std::copy(array.numbers.begin(), array.numbers.end(), numbers.Data());
    return numbers;
  }
  const Napi::Array values = Napi::Array::New(env, array.size());
  for (uint32_t i = 0; i < array.size(); ++i) {
    values.Set(i, Napi::Boolean::New(env, array.numbers[i] != 0));
  }
  return values;
}

Napi::Value ShortArrayToJs(Napi::Env env, const MetadataArray& array) {
  if (array.type == MetadataArray::Type::kBool) return ArrayToJs(env, array);
  const Napi::Array values = Napi::Array::New(env, array.size());
  for (uint32_t i = 0; i < array.size(); ++i) {
    if (array.type == MetadataArray::Type::kString) {
      values.Set(i, Napi::String::New(env, array.strings[i]));
    } else {
      values.Set(i, Napi::Number::New(env, array.numbers[i]));
    }
  }
  return values;
}

Napi::Value MetadataToJs(Napi::Env env, const MetadataValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return Napi::String::New(env, *text);
  if (const auto* number = std::get_if<double>(&value)) return Napi::Number::New(env, *number);
  if (const auto* flag = std::get_if<bool>(&value)) return Napi::Boolean::New(env, *flag);
  const MetadataArray& array = std::get<MetadataArray>(value);
  if (array.size() <= kLongArray) return ShortArrayToJs(env, array);
  static const char* const kTypes[] = {"string", "number", "boolean"};
  const Napi::Object summary = Napi::Object::New(env);
  summary.Set("longArray", true);
  summary.Set("type", kTypes[static_cast<int>(array.type)]);
  summary.Set("length", static_cast<double>(array.size()));
  return summary;
}

Napi::Value TensorsToJs(Napi::Env env, const Container& container) {
  const std::vector<TensorInfo>& tensors = container.tensors();
  const Napi::Array list = Napi::Array::New(env, tensors.size());
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    const Napi::Object entry = Napi::Object::New(env);
    const Napi::Array shape = Napi::Array::New(env, tensors[i].shape.size());
    for (uint32_t d = 0; d < tensors[i].shape.size(); ++d) {
      shape.Set(d, static_cast<double>(tensors[i].shape[d]));
    }
    entry.Set("name", tensors[i].name);
    entry.Set("dtype", tensors[i].dtype);
    entry.Set("shape", shape);
    entry.Set("bytes", static_cast<double>(tensors[i].bytes));
    list.Set(i, entry);
  }
  return list;
}

}  // namespace

Napi::Function ContainerWrap::Define(Napi::Env env) {
  return DefineClass(env, "Container",
                     {InstanceMethod<&ContainerWrap::MetadataArray>("metadataArray"),
                      InstanceMethod<&ContainerWrap::ReadTensor>("readTensor"),
                      InstanceMethod<&ContainerWrap::ReadRows>("readRows"),
                      InstanceMethod<&ContainerWrap::ReadBytes>("readBytes"),
                      InstanceMethod<&ContainerWrap::AreCopies>("areCopies"),
                      InstanceMethod<&ContainerWrap::Close>("close")});
}

Napi::Value ContainerWrap::Wrap(Napi::Env env, std::shared_ptr<Container> container) {
  const Napi::Object object = AddonData::Of(env).container_class.New({});
  const Napi::Object metadata = Napi::Object::New(env);
  for (const auto& [key, value] : container->metadata()) metadata.Set(key, MetadataToJs(env, value));
  object.Set("format", container->format());
  object.Set("metadata", metadata);
  object.Set("tensors", TensorsToJs(env, *container));
  Napi::ObjectWrap<ContainerWrap>::Unwrap(object)->container_ = std::move(container);
  return object;
}

std::shared_ptr<Container> ContainerWrap::ContainerOf(const Napi::Value& value) {
  const Napi::Function container_class = AddonData::Of(value.Env()).container_class.Value();
  if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(container_class)) {
    throw Napi::TypeError::New(value.Env(), "container is not one that openContainer returned");
  }
  std::shared_ptr<Container> container =
      Napi::ObjectWrap<ContainerWrap>::Unwrap(value.As<Napi::Object>())->container_;
  if (container == nullptr) throw Error(ErrorCode::kDisposed, "The container was closed");
  return container;
}

Napi::Value ContainerWrap::MetadataArray(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    const Container& container = Open();
    const std::string key = info[0].ToString().Utf8Value();
    const auto it = container.metadata().find(key);
    if (it == container.metadata().end() || !std::holds_alternative<kvasir::MetadataArray>(it->second)) {
      throw Error(ErrorCode::kModelFormat, "The file has no metadata array '" + key + "'");
    }
    return ArrayToJs(env, std::get<kvasir::MetadataArray>(it->second));
  });
}

Napi::Value ContainerWrap::ReadTensor(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    const TensorInfo& tensor = Named(info[0]);
    if (tensor.elements() > kSmallTensor) {
      throw Error(ErrorCode::kInternal,
                  "Tensor '" + tensor.name + "' is too large to be read on the JS thread");
    }
    Napi::Float32Array values = Napi::Float32Array::New(env, static_cast<size_t>(tensor.elements()));
    const int64_t rows = tensor.shape.size() > 1 ? tensor.elements() / tensor.shape.back() : 1;
    container_->ReadRows(tensor, 0, rows, values.Data());
    return values;
  });
}

// readRows(name, first, count)
Napi::Value ContainerWrap::ReadRows(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    const TensorInfo* tensor = &Named(info[0]);
    const int64_t first = info[1].ToNumber().Int64Value(), count = info[2].ToNumber().Int64Value();
    return RunAsync(env, "kvasir.rows", [container = container_, tensor, first, count] {
      const int64_t columns = tensor->shape.empty() ? 1 : tensor->shape.back();
      if (columns < 1 || first < 0 || count < 0 || count > tensor->elements() / columns - first) {
        throw Error(ErrorCode::kInternal, "Tensor '" + tensor->name + "' has no such rows");
      }
      auto values = std::make_shared<std::vector<float>>(static_cast<size_t>(count * columns));
      container->ReadRows(*tensor, first, count, values->data());
      return [values](Napi::Env js) -> Napi::Value {
        Napi::Float32Array array = Napi::Float32Array::New(js, values->size());
        std::copy(values->begin(), values->end(), array.Data());
        return array;
      };
    });
  });
}

// readBytes(name, begin, size)
Napi::Value ContainerWrap::ReadBytes(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    const TensorInfo* tensor = &Named(info[0]);
    const int64_t begin = info[1].ToNumber().Int64Value(), size = info[2].ToNumber().Int64Value();
    return RunAsync(env, "kvasir.bytes", [container = container_, tensor, begin, size] {
      const auto stored = static_cast<int64_t>(tensor->bytes);
      if (begin < 0 || size < 0 || size > stored - begin) {
        throw Error(ErrorCode::kInternal, "Tensor '" + tensor->name + "' has no such bytes");
      }
      auto bytes = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(size));
      container->ReadBytes(*tensor, static_cast<uint64_t>(begin), static_cast<uint64_t>(size), bytes->data());
      return [bytes](Napi::Env js) -> Napi::Value {
        Napi::Uint8Array array = Napi::Uint8Array::New(js, bytes->size());
        std::copy(bytes->begin(), bytes->end(), array.Data());
        return array;
      };
    });
  });
}

Napi::Value ContainerWrap::AreCopies(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    const TensorInfo* a = &Named(info[0]);
    const TensorInfo* b = &Named(info[1]);
    return RunAsync(env, "kvasir.copies", [container = container_, a, b] {
      const bool same = kvasir::AreCopies(*container, *a, *b);
      return [same](Napi::Env env) { return Napi::Boolean::New(env, same); };
    });
  });
}

const TensorInfo& ContainerWrap::Named(const Napi::Value& value) const {
  const std::string name = value.ToString().Utf8Value();
  const TensorInfo* tensor = Open().Find(name);
  if (tensor == nullptr) throw Error(ErrorCode::kModelFormat, "The file has no tensor '" + name + "'");
  return *tensor;
}

const Container& ContainerWrap::Open() const {
  if (container_ == nullptr) throw Error(ErrorCode::kDisposed, "The container was closed");
  return *container_;
}

}  // namespace kvasir::addon
