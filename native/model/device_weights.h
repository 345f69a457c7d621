// Moves loaded weights to the memory of a device's backend, layer by layer from one on to the last, and gives the host's
// memory back. It packs nothing itself: the CPU backend has packed them, the device's backend repacks.
#pragma once

#include "backend/device.h"
#include "model/model_spec.h"
#include "model/weights.h"

namespace kvasir {

// What MoveToDevice(first) would take on the device. The weights stay as they are.
int64_t DeviceWeightBytes(const ModelSpec& spec, const TensorMap& tensors, int64_t first, Weights* weights);

// Layers [first, n_layers), the final norm and the output layer, with first 0 the embedding too. A tied output layer
// whose embedding stays is moved as a copy. Throws Error(kInsufficientMemory | kDeviceUnavailable); the weights are
// then of no use.
void MoveToDevice(const ModelSpec& spec, const TensorMap& tensors, int64_t first, Device* device,
                  Weights* weights);

}  // namespace kvasir
