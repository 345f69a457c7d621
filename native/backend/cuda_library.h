// Finds the CUDA library (kvasir_cuda.so: backend/cuda/ with its own CUDA runtime), opens it while the process runs, and
// says in one sentence what keeps a GPU from being used. It includes no CUDA header and links to no CUDA library, so the
// addon starts on machines that have neither.
//
// The border between the two is one C function that returns CudaLibrary, a table of plain function pointers over plain
// structs; only Backend and Error cross it as C++ objects. That is safe because both sides are compiled from the same
// headers, which KVASIR_CUDA_INTERFACE proves before anything else is called, into one process with one libstdc++: a
// Backend is used and deleted through its vtable, memory is that of one malloc, type_info compares by name, so an Error
// thrown there is caught here, and the handle is never closed, so code and vtables outlive every object.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"

// What both sides were compiled from. The builds define KVASIR_CUDA_ABI: a hash of the headers that cross the border
// (scripts/cuda-build.mjs names them).
#if defined(_GLIBCXX_USE_CXX11_ABI) && _GLIBCXX_USE_CXX11_ABI
#define KVASIR_CUDA_INTERFACE KVASIR_CUDA_ABI " libstdc++"
#elif defined(_LIBCPP_VERSION)
#define KVASIR_CUDA_INTERFACE KVASIR_CUDA_ABI " libc++"
#else
#define KVASIR_CUDA_INTERFACE KVASIR_CUDA_ABI " libstdc++ without the C++11 ABI"
#endif

namespace kvasir {

struct CudaBackendOptions {
  int device = 0;
  int64_t max_positions = 0;
  int64_t padded_head_dim = 0;
  int64_t least_step_rows = 0;  // tokens that a step takes at least
  int64_t page_tables = 1;      // StepInput::n_tables
};

// One device as the library sees it, without creating a context on it.
struct CudaDeviceRecord {
  char name[256];
  int32_t major;  // compute capability
  int32_t minor;
  int32_t multiprocessors;
  int32_t runnable;  // the library holds code for it
  int64_t total_bytes;
  int64_t bandwidth;  // of its memory by clock and width, bytes/s; 0: the driver does not say
  int64_t clock;      // of the multiprocessors, Hz; 0: the driver does not say
};

// Function pointers that return int give 0 or a CUDA status, whose text is then in *error (static storage). None of them
// throws but make_backend.
struct CudaLibrary {
  const char* interface;    // KVASIR_CUDA_INTERFACE of the library; first, to be read in any version
  const char* targets;      // architectures it holds code for: "75 80 86 89 90 100 120 120+PTX"
  int32_t runtime_version;  // 13000 is CUDA 13.0
  int (*driver_version)(int32_t* version);  // CUDA version that the driver supports; 0: no driver
  int (*count_devices)(int32_t* count, const char** error);  // of those that CUDA_VISIBLE_DEVICES shows
  int (*describe_device)(int32_t device, CudaDeviceRecord* record, const char** error);
  int (*free_memory)(int32_t device, int64_t* bytes, const char** error);  // creates the device's context
  Backend* (*make_backend)(const CudaBackendOptions& options);  // the caller deletes it; throws Error
};

// The one symbol that kvasir_cuda.so exports (backend/cuda/cuda_library_entry.cc, which marks it visible).
constexpr char kCudaLibrarySymbol[] = "kvasir_cuda_v1";
extern "C" const CudaLibrary* kvasir_cuda_v1();

enum class CudaStatus {
  kOk,                 // at least one device can be used
  kNoLibrary,          // not built, or not where it is looked for
  kBrokenLibrary,      // the file is there and cannot be opened or is another thing
  kOtherVersion,       // built from other sources than the addon
  kNoDriver,           // no libcuda
  kDriverTooOld,       // for the CUDA runtime of the library
  kNoDevice,           // a driver, but no device, or none that CUDA_VISIBLE_DEVICES shows
  kWrongArchitecture,  // devices, but the library holds code for none of them
  kFailed,             // CUDA says something else
};

// Such as "NO_LIBRARY".
const char* CudaStatusName(CudaStatus status);

struct CudaDevice {
  std::string name;
  int major = 0;
  int minor = 0;
  int multiprocessors = 0;
  int64_t total_bytes = 0;
  int64_t free_bytes = -1;  // -1: not asked for
  int64_t bandwidth = 0;
  int64_t clock = 0;
  CudaStatus status = CudaStatus::kOk;  // or kWrongArchitecture, or kFailed
  std::string problem;                  // why it cannot be used; empty with kOk
};

struct CudaReport {
  CudaStatus status = CudaStatus::kOk;
  std::string message;  // what is wrong and what to do; empty with kOk
  std::string library;  // the file that was opened or looked for
  std::string targets;
  int driver_version = 0;  // CUDA version, 12040 is 12.4; 0: unknown
  int runtime_version = 0;
  std::vector<CudaDevice> devices;  // by CUDA's index
};

// The value of KVASIR_CUDA_LIBRARY, or empty. To be called on the thread that may write the environment.
std::string ForcedCudaLibrary();

// What there is. `library` empty: kvasir_cuda.so beside the file that this code was linked into. Opens the library and
// initialises CUDA, which takes up to a second: not for the JS thread. `free_memory` creates a context on each device.
CudaReport DescribeCuda(const std::string& library, bool free_memory);

// Throws Error(kDeviceUnavailable) with the reason, or what the backend throws.
std::unique_ptr<Backend> MakeCudaBackend(const std::string& library, const CudaBackendOptions& options);

}  // namespace kvasir
