// How an error about a model file reads: which file, which tensor or key, what is wrong, what to do about it.
// Names come from untrusted files, so they are shortened and escaped. It refuses to know any format.
#pragma once

#include <string>
#include <string_view>

namespace kvasir {

// What to do about a file whose bytes cannot be what its author wrote.
inline constexpr char kDownloadAgain[] =
    "The file is damaged: download it again, or convert the model again.";

// A name in single quotes: printable ASCII as it is, other bytes as \xNN, at most 80 bytes of it.
std::string Quote(std::string_view name);

// Throws Error(kModelFormat, "<path>: <problem>. <remedy>").
[[noreturn]] void ThrowFormat(const std::string& path, const std::string& problem,
                              const std::string& remedy = kDownloadAgain);

}  // namespace kvasir
