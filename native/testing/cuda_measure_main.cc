// cuda_measure: what a GPU does at most, and how long each kernel of a layer takes, by events. One JSON object a line.
//   cuda_measure list                        what can be asked for: shows that the program starts, without a device
//   cuda_measure ceilings SCALE              SCALE 1 for a device; the emulation wants its work divided by thousands
//   cuda_measure kernels 1b|8b|tiny
// Ends with 1 where CUDA fails, after the lines that were measured before.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <utility>

#include "backend/cuda/gpu.h"
#include "testing/cuda_ceilings.h"
#include "testing/cuda_kernel_times.h"

namespace kvasir::testing {
namespace {

constexpr std::pair<const char*, Ceiling> kCeilings[] = {
    {"copy", Ceiling::kCopy},
    {"read", Ceiling::kRead},
    {"int8_mma", Ceiling::kInt8Mma},
    {"fp16_mma", Ceiling::kHalfMma},
    {"int8_wgmma", Ceiling::kInt8Wgmma},
    {"fp16_wgmma", Ceiling::kHalfWgmma},
    {"int_to_float", Ceiling::kIntToFloat},
};

void List() {
  for (const auto& [name, ceiling] : kCeilings) std::printf("%s\n", name);
  std::puts("kernels");
}

void MeasureCeilings(int64_t scale) {
  const cuda::Gpu gpu(0);
  for (const auto& [name, ceiling] : kCeilings) {
    const double rate = Measure(ceiling, scale, gpu.stream());
    std::printf("{\"ceiling\":\"%s\",\"perSecond\":%.6g}\n", name, rate);
    std::fflush(stdout);
  }
}

void MeasureKernels(const std::string& shape) {
  const cuda::Gpu gpu(0);
  TimeKernels(LayerShapeOf(shape), gpu, [](const KernelTime& time) {
    std::printf(
        "{\"kernel\":\"%s\",\"rows\":%lld,\"microseconds\":%.3f,\"bytes\":%lld,\"operations\":%lld}\n",
        time.name.c_str(), static_cast<long long>(time.rows), 1e6 * time.seconds,
        static_cast<long long>(time.bytes), static_cast<long long>(time.operations));
    std::fflush(stdout);
  });
}

int Run(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "list") {
    List();
  } else if (what == "ceilings" && argc == 3 && std::atoll(argv[2]) > 0) {
    MeasureCeilings(std::atoll(argv[2]));
  } else if (what == "kernels" && argc == 3) {
    MeasureKernels(argv[2]);
  } else {
    std::fprintf(stderr, "cuda_measure list | ceilings SCALE | kernels 1b|8b|tiny\n");
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace kvasir::testing

int main(int argc, char** argv) {
  try {
    return kvasir::testing::Run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
