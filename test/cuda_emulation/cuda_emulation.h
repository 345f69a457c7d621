// The CUDA model on the CPU: what backend/cuda/cuda_platform.h includes instead of NVIDIA's headers, so that the same
// kernel and host sources compile as C++ and run without a GPU. It checks what a GPU leaves to luck: barriers, lanes of
// a warp, bounds, uninitialised and racing accesses of shared memory, work that is not waited for. It refuses to model
// time, caches and occupancy, to guess what undefined code would do (that is a report), and to run CUDA that the
// backend does not use.
//
//   device_types.h      dim3, int4, __global__ and other words of the language
//   execution.h         the running thread: barriers and what warps do together
//   device_functions.h  intrinsics, shuffles, votes, atomics
//   shared_memory.h     KVASIR_SHARED, DynamicShared, SharedPtr
//   tensor_core.h       mma and cp.async, for ptx.cuh
//   runtime_api.h       cudaMalloc, streams, events, graphs
//   launch_kernel.h     Launch, for launch.h
//   control.h           seeds, faults and reports, for tests
//
// Environment: KVASIR_EMULATION_SEED (order of blocks, threads and streams), KVASIR_EMULATION_FAULT and
// KVASIR_EMULATION_MEMORY (control.h).
#pragma once

#include "control.h"
#include "device_functions.h"
#include "device_types.h"
#include "execution.h"
#include "launch_kernel.h"
#include "runtime_api.h"
#include "shared_memory.h"
#include "tensor_core.h"
