// SIGSEGV inside a kernel becomes a report. Elsewhere the handler before ours decides, after a word on device memory.
#include <signal.h>
#include <unistd.h>

#include <string>

#include "block_state.h"
#include "device_state.h"

namespace cuda_emulation {

#if defined(__SANITIZE_THREAD__)

// It lets no handler leave by switching stacks: such a fault ends the process.
void CatchKernelFaults() {}

#else

namespace {

struct sigaction before[2];

void Handle(int signal, siginfo_t* info, void*) {
  // Only the thread that holds the lock runs kernels, and only it may look at `running`.
  if (Device().lock.try_lock()) {
    if (running != nullptr) {
      SetFault("touches " + DescribeAddress(info->si_addr));
      Device().lock.unlock();
      LeaveBlock();
    }
    const std::string where = DescribeAddress(info->si_addr) + ": host code touched it\n";
    if (where.find("not device memory") == std::string::npos) {
      [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, where.data(), where.size());
    }
    Device().lock.unlock();
  }
  sigaction(signal, &before[signal == SIGBUS], nullptr);
}

}  // namespace

void CatchKernelFaults() {
  static const bool installed = [] {
    struct sigaction action {};
    action.sa_sigaction = Handle;
    // NODEFER: the handler leaves by switching to another stack, so the signal must not stay blocked.
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &before[0]);
    sigaction(SIGBUS, &action, &before[1]);
    return true;
  }();
  (void)installed;
}

#endif

}  // namespace cuda_emulation
