#include "core/loaded_code.h"

#if defined(_WIN32)
#include <windows.h>

#include "core/wide_path.h"
#else
#include <dlfcn.h>
#endif

namespace kvasir {

namespace {

[[maybe_unused]] std::string FolderOf(const std::string& path) {
  const size_t slash = path.find_last_of("/\\");
  return slash == std::string::npos ? "./" : path.substr(0, slash + 1);
}

}  // namespace

#if defined(_WIN32)

namespace {

HMODULE ThisModule(DWORD flags) {
  HMODULE module = nullptr;
  const auto address = reinterpret_cast<LPCWSTR>(&KeepThisCodeLoaded);
  if (!GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | flags, address, &module)) return nullptr;
  return module;
}

}  // namespace

std::string FolderOfThisCode() {
  const HMODULE module = ThisModule(GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT);
  std::wstring path(32768, L'\0');
  const DWORD length = GetModuleFileNameW(module, path.data(), static_cast<DWORD>(path.size()));
  if (module == nullptr || length == 0) return "./";
  path.resize(length);
  return FolderOf(NarrowPath(path));
}

void KeepThisCodeLoaded() { ThisModule(GET_MODULE_HANDLE_EX_FLAG_PIN); }

#else

std::string FolderOfThisCode() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&FolderOfThisCode), &info) == 0 || info.dli_fname == nullptr) {
    return "./";
  }
  return FolderOf(info.dli_fname);
}

void KeepThisCodeLoaded() {
  Dl_info self;
  if (dladdr(reinterpret_cast<const void*>(&KeepThisCodeLoaded), &self) == 0) return;
  dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

#endif

}  // namespace kvasir
