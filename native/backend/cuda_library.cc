#include "backend/cuda_library.h"

#if defined(__linux__)
#include <dlfcn.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>

#include "core/error.h"
#include "core/loaded_code.h"

namespace kvasir {

namespace {

constexpr char kFileName[] = "kvasir_cuda.so";
// What a cudart status says that this file must know without a CUDA header; CUDA keeps these numbers.
constexpr int kInsufficientDriver = 35;
constexpr int kNoDeviceFound = 100;

struct Opened {
  const CudaLibrary* library = nullptr;
  CudaStatus status = CudaStatus::kOk;
  std::string message;
};

std::string PathOf(const std::string& library) {
  return library.empty() ? FolderOfThisCode() + kFileName : library;
}

#if defined(__linux__)

constexpr char kBuildAgain[] = "build Kvasir again ('npx kvasir build', or 'npm run build' in its checkout)";

// The device files of NVIDIA's kernel module, or of WSL.
bool HasGpu() {
  const char* const files[] = {"/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg"};
  return std::any_of(std::begin(files), std::end(files),
                     [](const char* file) { return access(file, F_OK) == 0; });
}

Opened NotThere(const std::string& path, bool forced) {
  if (forced) {
    return {nullptr, CudaStatus::kNoLibrary,
            "KVASIR_CUDA_LIBRARY names " + path + ", which does not exist: correct it or unset it."};
  }
  if (!HasGpu()) {
    return {nullptr, CudaStatus::kNoLibrary, "No NVIDIA GPU was found, and this build has no CUDA library."};
  }
  return {nullptr, CudaStatus::kNoLibrary,
          "This build has no CUDA library: install NVIDIA's CUDA toolkit (nvcc) and " +
              std::string(kBuildAgain) + "."};
}

Opened Broken(const std::string& path, const std::string& why) {
  return {nullptr, CudaStatus::kBrokenLibrary,
          "The CUDA library " + path + " cannot be opened (" + why + "): " + kBuildAgain + "."};
}

Opened OpenAt(const std::string& path, bool forced) {
  if (access(path.c_str(), F_OK) != 0) return NotThere(path, forced);
  // RTLD_LOCAL: its CUDA runtime must not be taken for that of another library of this process, or the other way.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* why = dlerror();
    return Broken(path, why == nullptr ? "unknown reason" : why);
  }
  const auto entry = reinterpret_cast<decltype(&kvasir_cuda_v1)>(dlsym(handle, kCudaLibrarySymbol));
  const CudaLibrary* library = entry == nullptr ? nullptr : entry();
  if (library == nullptr) {
    dlclose(handle);
    return Broken(path, "it is no CUDA library of Kvasir");
  }
  if (std::strcmp(library->interface, KVASIR_CUDA_INTERFACE) != 0) {
    dlclose(handle);
    return {
        nullptr, CudaStatus::kOtherVersion,
        "The CUDA library " + path + " was built from other sources than the addon: " + kBuildAgain + "."};
  }
  return {library, CudaStatus::kOk, ""};
}

#else

Opened OpenAt(const std::string&, bool) {
  return {nullptr, CudaStatus::kNoLibrary, "The CUDA backend is for Linux."};
}

#endif

// Open libraries stay open: backends may live in them. What could not be opened is tried again. Nothing here is freed: a
// thread may still load while the process exits.
Opened Open(const std::string& library) {
  static auto& mutex = *new std::mutex;
  static auto& open = *new std::map<std::string, const CudaLibrary*>;
  const std::string path = PathOf(library);
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = open.find(path);
  if (found != open.end()) return {found->second, CudaStatus::kOk, ""};
  const Opened opened = OpenAt(path, !library.empty());
  if (opened.library != nullptr) open.emplace(path, opened.library);
  return opened;
}

// 12040 as "12.4".
std::string CudaVersion(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

void Fail(CudaReport* report, CudaStatus status, const std::string& message) {
  report->status = status;
  report->message = message;
}

void FailWith(CudaReport* report, int code, const char* error) {
  if (code == kNoDeviceFound) {
    Fail(report, CudaStatus::kNoDevice,
         "The NVIDIA driver shows no GPU: check nvidia-smi and the variable CUDA_VISIBLE_DEVICES.");
  } else if (code == kInsufficientDriver) {
    Fail(report, CudaStatus::kDriverTooOld,
         "The NVIDIA driver is for CUDA " + CudaVersion(report->driver_version) +
             ", the CUDA library for CUDA " + CudaVersion(report->runtime_version) +
             ": update the driver, or build Kvasir with an older CUDA toolkit.");
  } else {
    Fail(report, CudaStatus::kFailed,
         std::string("CUDA does not start (") + (error == nullptr ? "unknown reason" : error) +
             "): check nvidia-smi; after an update of the driver, restart the machine.");
  }
}

constexpr int kOldestArchitecture = 75;

std::string WrongArchitecture(const CudaDevice& device, const std::string& targets) {
  const int architecture = device.major * 10 + device.minor;
  const std::string name = device.name + " has architecture sm_" + std::to_string(architecture);
  if (architecture < kOldestArchitecture) {
    return name + ", and Kvasir needs sm_" + std::to_string(kOldestArchitecture) +
           " or newer: use another GPU or the CPU.";
  }
  return name + ", and this build holds code for " + targets +
         " only: build Kvasir again without KVASIR_CUDA_ARCHS.";
}

void Refuse(CudaDevice* device, const char* what, const char* error) {
  device->status = CudaStatus::kFailed;
  device->problem = std::string(what) + " (" + (error == nullptr ? "unknown reason" : error) +
                    "): check nvidia-smi for what else runs on it.";
}

CudaDevice DescribeDevice(const CudaLibrary& library, int index, bool free_memory) {
  CudaDevice device;
  CudaDeviceRecord record = {};
  const char* error = nullptr;
  if (library.describe_device(index, &record, &error) != 0) {
    Refuse(&device, "CUDA cannot describe the device", error);
    return device;
  }
  record.name[sizeof(record.name) - 1] = '\0';
  device.name = record.name;
  device.major = record.major;
  device.minor = record.minor;
  device.multiprocessors = record.multiprocessors;
  device.total_bytes = record.total_bytes;
  device.bandwidth = record.bandwidth;
  device.clock = record.clock;
  if (record.runnable == 0) {
    device.status = CudaStatus::kWrongArchitecture;
    device.problem = WrongArchitecture(device, library.targets);
  } else if (free_memory) {
    int64_t free = 0;
    if (library.free_memory(index, &free, &error) == 0) {
      device.free_bytes = free;
    } else {
      Refuse(&device, "CUDA cannot use the device", error);
    }
  }
  return device;
}

void JudgeDevices(CudaReport* report) {
  for (const CudaDevice& device : report->devices) {
    if (device.status == CudaStatus::kOk) return;
  }
  Fail(report, report->devices.front().status, report->devices.front().problem);
}

}  // namespace

const char* CudaStatusName(CudaStatus status) {
  switch (status) {
    case CudaStatus::kOk: return "OK";
    case CudaStatus::kNoLibrary: return "NO_LIBRARY";
    case CudaStatus::kBrokenLibrary: return "BROKEN_LIBRARY";
    case CudaStatus::kOtherVersion: return "OTHER_VERSION";
    case CudaStatus::kNoDriver: return "NO_DRIVER";
    case CudaStatus::kDriverTooOld: return "DRIVER_TOO_OLD";
    case CudaStatus::kNoDevice: return "NO_DEVICE";
    case CudaStatus::kWrongArchitecture: return "WRONG_ARCHITECTURE";
    case CudaStatus::kFailed: return "FAILED";
  }
  return "FAILED";
}

std::string ForcedCudaLibrary() {
  const char* value = std::getenv("KVASIR_CUDA_LIBRARY");
  return value == nullptr ? "" : value;
}

CudaReport DescribeCuda(const std::string& library_path, bool free_memory) {
  CudaReport report;
  report.library = PathOf(library_path);
  const Opened opened = Open(library_path);
  if (opened.library == nullptr) {
    Fail(&report, opened.status, opened.message);
    return report;
  }
  const CudaLibrary& library = *opened.library;
  report.targets = library.targets;
  report.runtime_version = library.runtime_version;
  int32_t driver = 0;
  if (library.driver_version(&driver) != 0 || driver == 0) {
    Fail(&report, CudaStatus::kNoDriver,
         "There is no NVIDIA driver (libcuda.so.1): install it, or give this container its GPU.");
    return report;
  }
  report.driver_version = driver;
  int32_t count = 0;
  const char* error = nullptr;
  const int code = library.count_devices(&count, &error);
  if (code != 0 || count == 0) {
    FailWith(&report, code == 0 ? kNoDeviceFound : code, error);
    return report;
  }
  for (int i = 0; i < count; ++i) report.devices.push_back(DescribeDevice(library, i, free_memory));
  JudgeDevices(&report);
  return report;
}

std::unique_ptr<Backend> MakeCudaBackend(const std::string& library, const CudaBackendOptions& options) {
  const CudaReport report = DescribeCuda(library, false);
  if (report.status != CudaStatus::kOk) throw Error(ErrorCode::kDeviceUnavailable, report.message);
  const int count = static_cast<int>(report.devices.size());
  if (options.device < 0 || options.device >= count) {
    throw Error(ErrorCode::kDeviceUnavailable, "There is no device cuda:" + std::to_string(options.device) +
                                                   ": CUDA shows " + std::to_string(count) +
                                                   ", counted from 0.");
  }
  const CudaDevice& device = report.devices[static_cast<size_t>(options.device)];
  if (device.status != CudaStatus::kOk) throw Error(ErrorCode::kDeviceUnavailable, device.problem);
  return std::unique_ptr<Backend>(Open(library).library->make_backend(options));
}

}  // namespace kvasir
