// Paths between UTF-8, in which all of Kvasir has them, and the 16-bit text of Windows. There alone.
#pragma once

#if defined(_WIN32)

#include <windows.h>

#include <string>

namespace kvasir {

inline std::wstring WidePath(const std::string& path) {
  const int bytes = static_cast<int>(path.size());
  std::wstring wide(static_cast<size_t>(MultiByteToWideChar(CP_UTF8, 0, path.data(), bytes, nullptr, 0)),
                    L'\0');
  MultiByteToWideChar(CP_UTF8, 0, path.data(), bytes, wide.data(), static_cast<int>(wide.size()));
  return wide;
}

inline std::string NarrowPath(const std::wstring& path) {
  const int units = static_cast<int>(path.size());
  std::string narrow(
      static_cast<size_t>(WideCharToMultiByte(CP_UTF8, 0, path.data(), units, nullptr, 0, nullptr, nullptr)),
      '\0');
  WideCharToMultiByte(CP_UTF8, 0, path.data(), units, narrow.data(), static_cast<int>(narrow.size()), nullptr,
                      nullptr);
  return narrow;
}

}  // namespace kvasir

#endif
