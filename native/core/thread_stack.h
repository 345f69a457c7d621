// Stacks of threads, where those that the system gives are too small.
#pragma once

namespace kvasir {

// Before a thread starts; the first call counts. musl gives a thread 128 KB, more than half of which the attention of one
// tile takes. Threads that this process starts later get address space for 1 MB, of which they take what they touch.
// Every other C library gives 512 KB at least, and there this does nothing.
void WidenThreadStacks();

}  // namespace kvasir
