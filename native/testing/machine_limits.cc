#include "testing/machine_limits.h"

#include <algorithm>
#include <chrono>

#include "backend/cpu/cpu_features.h"
#include "core/aligned_buffer.h"
#include "core/thread_pool.h"

namespace kvasir::testing {

namespace {

// Sums as many independent streams of 8 as the compiler's vectors hold: memory is slower than any of them.
uint64_t SumWords(const uint64_t* words, int64_t count) {
  uint64_t sums[16] = {};
  for (int64_t i = 0; i + 16 <= count; i += 16) {
    for (int j = 0; j < 16; ++j) sums[j] += words[i + j];
  }
  uint64_t total = 0;
  for (const uint64_t sum : sums) total += sum;
  return total;
}

template <typename Fn>
double BestSeconds(int threads, int rounds, const Fn& fn) {
  ThreadPool pool(threads);
  double best = 1e9;
  for (int round = 0; round < rounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    pool.ParallelFor(threads, [&](int64_t task, int) { fn(task); });
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}

constexpr int64_t kIterations = 2'000'000;

#if defined(__x86_64__)

// Twelve independent chains hide the latency of every x86 core's multiply-add. Written as assembly because this file
// is built for the baseline; registers 0 to 13 only, which the clobber list can name.
#define KVASIR_TWELVE(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11)
#define KVASIR_CLOBBER                                                                                       \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
      "xmm13", "xmm14"
#define KVASIR_LOOP(name, clear, op)                                                                  \
  void name() {                                                                                       \
    int64_t n = kIterations;                                                                          \
    asm volatile(KVASIR_TWELVE(clear) "1:\n\t" KVASIR_TWELVE(op) "dec %0\n\tjnz 1b\n\tvzeroupper\n\t" \
                 : "+r"(n)                                                                            \
                 :                                                                                    \
                 : KVASIR_CLOBBER, "cc");                                                             \
  }
#define KVASIR_CLEAR(r) "vpxor %%xmm" #r ", %%xmm" #r ", %%xmm" #r "\n\t"
#define KVASIR_DPBUSD(r) "vpdpbusd %%zmm12, %%zmm13, %%zmm" #r "\n\t"
#define KVASIR_DPBUSD256(r) "%{vex%} vpdpbusd %%ymm12, %%ymm13, %%ymm" #r "\n\t"
#define KVASIR_FMA512(r) "vfmadd231ps %%zmm12, %%zmm13, %%zmm" #r "\n\t"
#define KVASIR_FMA256(r) "vfmadd231ps %%ymm12, %%ymm13, %%ymm" #r "\n\t"
#define KVASIR_MADD512(r) "vpmaddwd %%zmm12, %%zmm13, %%zmm14\n\tvpaddd %%zmm14, %%zmm" #r ", %%zmm" #r "\n\t"
#define KVASIR_MADD256(r) "vpmaddwd %%ymm12, %%ymm13, %%ymm14\n\tvpaddd %%ymm14, %%ymm" #r ", %%ymm" #r "\n\t"
KVASIR_LOOP(LoopDpBusd, KVASIR_CLEAR, KVASIR_DPBUSD)
#ifndef KVASIR_NO_AVXVNNI
KVASIR_LOOP(LoopDpBusd256, KVASIR_CLEAR, KVASIR_DPBUSD256)
#endif
KVASIR_LOOP(LoopFma512, KVASIR_CLEAR, KVASIR_FMA512)
KVASIR_LOOP(LoopFma256, KVASIR_CLEAR, KVASIR_FMA256)
KVASIR_LOOP(LoopMadd512, KVASIR_CLEAR, KVASIR_MADD512)
KVASIR_LOOP(LoopMadd256, KVASIR_CLEAR, KVASIR_MADD256)

#ifndef KVASIR_NO_AMX
#include "backend/cpu/tiles_amx.h"

// The products of 16 x 64 by 64 x 16 values, four tiles of sums in turn: a sixteenth as many instructions as the loops above.
void LoopTiles() {
  EnterTiles();
  for (int64_t n = kIterations * 12 / 16 / 4; n > 0; --n) {
    DotTiles<0, 4, 6>();
    DotTiles<1, 4, 7>();
    DotTiles<2, 5, 6>();
    DotTiles<3, 5, 7>();
  }
  LeaveTiles();
}
#endif

double Rate(void (*loop)(), int64_t ops_per_instruction, int threads, int rounds) {
  const double seconds = BestSeconds(threads, rounds, [=](int64_t) { loop(); });
  return static_cast<double>(kIterations * 12 * ops_per_instruction * threads) / seconds;
}

#endif

}  // namespace

double BestReadBandwidth(int64_t bytes, int threads, int rounds) {
  const AlignedBuffer buffer(static_cast<size_t>(bytes), "measuring the memory");
  uint64_t* words = reinterpret_cast<uint64_t*>(buffer.data());
  const int64_t count = bytes / 8, part = count / threads;
  for (int64_t i = 0; i < count; ++i) words[i] = static_cast<uint64_t>(i);
  volatile uint64_t sink = 0;
  const double seconds =
      BestSeconds(threads, rounds, [&](int64_t task) { sink = sink + SumWords(words + task * part, part); });
  return static_cast<double>(part * threads * 8) / seconds;
}

PeakRates MeasurePeaks(const std::string& isa, int threads, int rounds) {
#if defined(__x86_64__)
#ifndef KVASIR_NO_AMX
  // A sixteenth of the iterations. Detecting the processor asks the system for its tiles.
  if (isa == "amx" && cpu::DetectCpu().amx)
    return {Rate(LoopTiles, 16 * 64 * 16 * 2 / 16, threads, rounds), Rate(LoopFma512, 32, threads, rounds)};
#endif
  if (isa == "avx512vnni")
    return {Rate(LoopDpBusd, 128, threads, rounds), Rate(LoopFma512, 32, threads, rounds)};
#ifndef KVASIR_NO_AVXVNNI
  if (isa == "avxvnni")
    return {Rate(LoopDpBusd256, 64, threads, rounds), Rate(LoopFma256, 16, threads, rounds)};
#endif
  if (isa == "avx512") return {Rate(LoopMadd512, 64, threads, rounds), Rate(LoopFma512, 32, threads, rounds)};
  if (isa == "avx2") return {Rate(LoopMadd256, 32, threads, rounds), Rate(LoopFma256, 16, threads, rounds)};
#endif
  return {};
}

}  // namespace kvasir::testing
