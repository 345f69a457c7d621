// A launch: the kernel and a copy of its arguments, queued on a stream. Refuses arguments that are not plain bytes.
#pragma once

#include <cstring>
#include <memory>
#include <tuple>
#include <type_traits>

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
  const void* words;  // the arguments' bytes
  size_t word_bytes;
};
cudaError_t QueueLaunch(const LaunchRequest& request);

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
  const auto call = std::make_shared<const Call>(
      Call{kernel, std::tuple<Parameters...>(std::forward<Arguments>(arguments)...)});
  return QueueLaunch({name, reinterpret_cast<const void*>(kernel), grid, block, shared_bytes, stream, invoke,
                      call, &call->arguments, sizeof(call->arguments)});
}

}  // namespace cuda_emulation
