// A checkpoint's weights to the file of their INT8 form. It quantizes by loading: what is written is what a load has in
// memory, bit for bit.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "core/cancellation.h"
#include "io/container.h"
#include "model/model_spec.h"

namespace kvasir {

// Writes `path`, which must not exist; `metadata` joins what the file says of itself. progress(done, total) over both
// parts, reading and writing, in units that differ from part to part. Returns the file's size in bytes. Throws as LoadTransformer and WriteSafetensors do;
// nothing is at `path` then.
int64_t QuantizeToFile(const ModelSpec& spec, const TensorMap& tensors, const LoadOptions& options,
                       const Container& container, const std::string& path,
                       std::map<std::string, std::string> metadata, const CancellationToken& cancellation,
                       const std::function<void(int64_t, int64_t)>& progress);

}  // namespace kvasir
