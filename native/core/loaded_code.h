// The file (addon or executable) that holds this code.
#pragma once

#include <string>

namespace kvasir {

// Its folder, with a slash at the end; "./" where the system does not tell.
std::string FolderOfThisCode();

// When the last environment that loaded an addon closes (a worker's, say), Node unloads it, and threads of ours may not be
// through yet: from here on the system keeps it.
void KeepThisCodeLoaded();

}  // namespace kvasir
