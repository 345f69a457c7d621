// A launch: the kernel and a copy of its arguments, queued on a stream. Refuses arguments that are not plain bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "runtime_api.h"

namespace cuda_emulation {

struct LaunchRequest {
  const char* name;
  const void* kernel;
  dim3 grid;
  dim3 block;
  size_t shared_bytes;
  cudaStream_t stream;
  void (*invoke)(const void* arguments);
  std::shared_ptr<const void> arguments;
  std::vector<uint64_t> pointers;  // words of the arguments that may be some
};
cudaError_t QueueLaunch(const LaunchRequest& request);

// Padding holds any bytes, and beside a number they may look like a pointer.
template <typename T>
void ClearPadding(T* argument) {
#if defined(__has_builtin) && __has_builtin(__builtin_clear_padding)
  if constexpr (std::is_class_v<T>) __builtin_clear_padding(argument);
#endif
}

// Below are two small fields side by side, and the shadow of the address sanitizer; memory that programs get is above.
constexpr uint64_t kLowestPointer = uint64_t{1} << 44;

// A pointer itself, or the words of a struct that can be one.
template <typename T>
void CollectPointers(const T& argument, std::vector<uint64_t>* pointers) {
  if constexpr (std::is_pointer_v<T>) {
    pointers->push_back(reinterpret_cast<uint64_t>(argument));
  } else if constexpr (std::is_class_v<T> && alignof(T) >= alignof(void*)) {
    for (size_t i = 0; i + sizeof(uint64_t) <= sizeof(T); i += sizeof(uint64_t)) {
      uint64_t word;
      std::memcpy(&word, reinterpret_cast<const char*>(&argument) + i, sizeof(word));
      if (word >= kLowestPointer) pointers->push_back(word);
    }
  }
}

template <typename... Parameters, typename... Arguments>
cudaError_t Launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                   size_t shared_bytes, cudaStream_t stream, Arguments&&... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...),
                "a kernel's parameters are copied as bytes");
  static_assert((sizeof(Parameters) + ... + 0) <= 4096, "a kernel's parameters fit in 4 KiB");
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> arguments;
  };
  const auto invoke = [](const void* p) {
    const Call& call = *static_cast<const Call*>(p);
    std::apply(call.kernel, call.arguments);
  };
  const auto call =
      std::make_shared<Call>(Call{kernel, std::tuple<Parameters...>(std::forward<Arguments>(arguments)...)});
  std::apply([](auto&... each) { (ClearPadding(&each), ...); }, call->arguments);
  std::vector<uint64_t> pointers;
  std::apply([&](const auto&... each) { (CollectPointers(each, &pointers), ...); }, call->arguments);
  return QueueLaunch({name, reinterpret_cast<const void*>(kernel), grid, block, shared_bytes, stream, invoke,
                      call, std::move(pointers)});
}

}  // namespace cuda_emulation
