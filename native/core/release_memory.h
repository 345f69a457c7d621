// Gives memory that malloc keeps for later back to the system.
#pragma once

namespace kvasir {

// For the end of a load or of a model: each thread that ever allocated has an arena of its own in glibc, and what was
// freed there stays resident until it is trimmed. Does nothing with other C libraries.
void ReleaseFreeMemory();
// It does so only after this was called: what is trimmed is the heap of the whole process.
void AllowReleasing();

}  // namespace kvasir
