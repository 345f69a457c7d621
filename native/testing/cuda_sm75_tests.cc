// What makes native_tests_sm75 a test of sm_75: the emulated device is one, so that the kernels beside this file run the
// code that they have below sm_80. Refuses to test them again: the other files of this executable do.
#include "backend/cuda/launch.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

KV_TEST(cuda_sm75_is_what_this_executable_emulates) {
  cudaDeviceProp properties;
  cuda::Check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  KV_EXPECT_EQ(properties.major, 7);
  KV_EXPECT_EQ(properties.minor, 5);
  KV_EXPECT_EQ(KVASIR_CUDA_ARCH, 750);
}

}  // namespace
}  // namespace kvasir::testing
