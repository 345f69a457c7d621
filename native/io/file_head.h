// Which container a file is, by its first bytes, and what other files that people take for models are. It reads no header.
#pragma once

#include "io/file.h"

namespace kvasir {

// True for GGUF, false for what can only be safetensors. Throws Error(kModelFormat) that names what else the file is: a
// pointer of Git LFS, weights of another framework, an archive, a web page or a message in the place of a download.
bool IsGguf(const File& file);

}  // namespace kvasir
