// How many threads this process should compute with: its affinity mask, cut by the cgroup's CPU quota.
#pragma once

namespace kvasir {

// At least 1.
int AvailableCpus();

}  // namespace kvasir
