#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#if defined(__x86_64__)
// (void** save rdi, void* load rsi): the callee-saved registers of the System V ABI.
asm(R"(
.text
.p2align 4
.type kvasir_emulation_switch, @function
kvasir_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size kvasir_emulation_switch, .-kvasir_emulation_switch
)");
#elif defined(__aarch64__)
// (void** save x0, void* load x1): x19 to x30 and d8 to d15, as AAPCS64 asks.
asm(R"(
.text
.p2align 4
.type kvasir_emulation_switch, %function
kvasir_emulation_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size kvasir_emulation_switch, .-kvasir_emulation_switch
)");
#endif

#if defined(__x86_64__) || defined(__aarch64__)
extern "C" void kvasir_emulation_switch(void** save, void* load);
#endif

namespace cuda_emulation {
namespace {

// ASan's and -O1's frames are several times as large.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kStackBytes = 512 << 10;
#else
constexpr size_t kStackBytes = 128 << 10;
#endif

}  // namespace

struct Fiber::State {
  Entry entry = nullptr;
  char* stack = nullptr;  // above a guard page; nullptr for a thread's own
#if defined(__x86_64__) || defined(__aarch64__)
  void* sp = nullptr;
#else
  ucontext_t context;
#endif
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = nullptr;
  size_t size = 0;
  void* fake_stack = nullptr;
#endif
#if defined(__SANITIZE_THREAD__)
  void* tsan = nullptr;
#endif
};

Fiber::Fiber() : state_(std::make_unique<State>()) {}

Fiber::Fiber(Entry entry) : state_(std::make_unique<State>()) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, kStackBytes + page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, page, PROT_NONE);
  state_->entry = entry;
  state_->stack = static_cast<char*>(memory) + page;
#if defined(__SANITIZE_ADDRESS__)
  state_->bottom = state_->stack;
  state_->size = kStackBytes;
#endif
#if defined(__SANITIZE_THREAD__)
  state_->tsan = __tsan_create_fiber(0);
#endif
  Restart();
}

Fiber::~Fiber() {
  if (state_->stack == nullptr) return;
#if defined(__SANITIZE_THREAD__)
  __tsan_destroy_fiber(state_->tsan);
#endif
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  munmap(state_->stack - page, kStackBytes + page);
}

void Fiber::Restart() {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(state_->stack, kStackBytes);
  state_->fake_stack = nullptr;
#endif
  char* top = state_->stack + kStackBytes;
#if defined(__x86_64__)
  // `ret` leaves the stack as a call would: 8 below a multiple of 16.
  uint64_t* sp = reinterpret_cast<uint64_t*>(top) - 8;
  for (int i = 0; i < 8; ++i) sp[i] = 0;
  sp[6] = reinterpret_cast<uint64_t>(state_->entry);
  state_->sp = sp;
#elif defined(__aarch64__)
  uint64_t* sp = reinterpret_cast<uint64_t*>(top) - 20;
  for (int i = 0; i < 20; ++i) sp[i] = 0;
  sp[11] = reinterpret_cast<uint64_t>(state_->entry);
  state_->sp = sp;
#else
  getcontext(&state_->context);
  state_->context.uc_stack.ss_sp = state_->stack;
  state_->context.uc_stack.ss_size = static_cast<size_t>(top - state_->stack);
  state_->context.uc_link = nullptr;
  makecontext(&state_->context, state_->entry, 0);
#endif
}

void Fiber::SwitchTo(Fiber& to) {
  State& from = *state_;
#if defined(__SANITIZE_ADDRESS__)
  if (from.bottom == nullptr) {
    pthread_attr_t attributes;
    void* bottom = nullptr;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &bottom, &from.size);
    pthread_attr_destroy(&attributes);
    from.bottom = bottom;
  }
  __sanitizer_start_switch_fiber(&from.fake_stack, to.state_->bottom, to.state_->size);
#endif
#if defined(__SANITIZE_THREAD__)
  if (from.stack == nullptr) from.tsan = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to.state_->tsan, 0);
#endif
#if defined(__x86_64__) || defined(__aarch64__)
  kvasir_emulation_switch(&from.sp, to.state_->sp);
#else
  swapcontext(&from.context, &to.state_->context);
#endif
  Entered();
}

void Fiber::Entered() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(state_->fake_stack, nullptr, nullptr);
#endif
}

}  // namespace cuda_emulation
