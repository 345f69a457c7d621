#include "vectors/vector_index.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "backend/cpu/kernel_select.h"
#include "core/cpu_count.h"
#include "core/error.h"

namespace kvasir {

namespace {

constexpr int64_t kSegmentBytes = 8 << 20;
constexpr int64_t kTaskBytes = 1 << 20;   // that a thread goes through at a time
constexpr int64_t kBlockBytes = 1 << 15;  // that all queries look at while they are in L1
constexpr int64_t kLargestQuery = 32767;

int64_t CheckedDimensions(int64_t dimensions) {
  if (dimensions < 1 || dimensions > VectorIndex::kMostDimensions) {
    throw Error(ErrorCode::kInvalidOption, "A vector index has 1 to " +
                                               std::to_string(VectorIndex::kMostDimensions) +
                                               " dimensions, not " + std::to_string(dimensions));
  }
  return dimensions;
}

int64_t RowsOf(int64_t bytes, int64_t row_bytes) {
  return std::max<int64_t>(cpu::kQuantizedRows, bytes / row_bytes / 4 * 4);
}

double LengthOf(const float* vector, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(vector[i]) * vector[i];
  return std::sqrt(sum);
}

void CheckFinite(const float* vector, int64_t n, const std::string& name) {
  for (int64_t i = 0; i < n; ++i) {
    if (std::isfinite(vector[i])) continue;
    throw Error(ErrorCode::kInvalidOption, name + " has " +
                                               (std::isnan(vector[i]) ? "a NaN" : "an infinite value") +
                                               " at " + std::to_string(i) + "; all must be finite");
  }
}

// What gives stored values the length 1; 0 for a zero vector.
float ScaleOf(const int8_t* values, int64_t n) {
  int64_t sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += values[i] * values[i];
  return sum == 0 ? 0 : static_cast<float>(1 / std::sqrt(static_cast<double>(sum)));
}

// The first place that is aligned for the kernels. It stays when the vector is moved.
int16_t* Aligned(std::vector<int16_t>& memory) {
  void* start = memory.data();
  size_t room = memory.size() * sizeof(int16_t);
  return static_cast<int16_t*>(std::align(cpu::kQueryAlignment, sizeof(int16_t), start, room));
}

}  // namespace

// As the kernels take it: values * scale has the length 1.
struct VectorIndex::PreparedQuery {
  std::vector<int16_t> memory;
  int16_t* values;  // [padded], in memory
  double scale = 0;
  const CancellationToken* cancellation = nullptr;

  PreparedQuery(PreparedQuery&&) = default;
  PreparedQuery(const Query& query, int64_t n, int64_t padded)
      : memory(static_cast<size_t>(padded + cpu::kQueryAlignment / 2)),
        values(Aligned(memory)),
        cancellation(query.cancellation) {
    float largest = 0;
    for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(query.vector[i]));
    if (largest == 0) return;
    // No sum of 128 * value leaves int32.
    const int64_t most = std::min(kLargestQuery, INT32_MAX / (128 * padded));
    int64_t sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double value = static_cast<double>(query.vector[i]) / largest * static_cast<double>(most);
      const auto rounded = static_cast<int16_t>(std::nearbyint(value));
      values[i] = rounded;
      sum += rounded * rounded;
    }
    scale = 1 / std::sqrt(static_cast<double>(sum));
  }
};

// The best k so far that one thread has seen for one query: a heap whose front is the worst of them.
class VectorIndex::Best {
 public:
  explicit Best(int64_t k) : k_(static_cast<size_t>(k)) {}
  void Reserve() { hits_.reserve(k_); }

  // Both ways round a total order, so that what remains does not depend on who saw what first.
  static bool Before(const Hit& a, const Hit& b) {
    return a.score > b.score || (a.score == b.score && a.index < b.index);
  }
  void Take(int64_t index, double score) {
    const Hit hit = {index, 0, score};
    if (hits_.size() == k_) {
      if (!Before(hit, hits_.front())) return;
      std::pop_heap(hits_.begin(), hits_.end(), Before);
      hits_.back() = hit;
    } else {
      hits_.push_back(hit);
    }
    std::push_heap(hits_.begin(), hits_.end(), Before);
  }
  const std::vector<Hit>& hits() const { return hits_; }

 private:
  size_t k_;
  std::vector<Hit> hits_;
};

VectorIndex::VectorIndex(int64_t dimensions, int threads, const std::string& isa)
    : dimensions_(CheckedDimensions(dimensions)),
      padded_((dimensions + 31) / 32 * 32),
      threads_(threads > 0 ? threads : AvailableCpus()),
      kernels_(cpu::SelectKernels(isa)),
      dot_vectors_(cpu::DotVectorsOf(kernels_)),
      segment_rows_(RowsOf(kSegmentBytes, padded_)),
      task_rows_(RowsOf(kTaskBytes, padded_)) {}

int64_t VectorIndex::size() const {
  const std::lock_guard lock(mutex_);
  return size_;
}

bool VectorIndex::has_ids() const {
  const std::lock_guard lock(mutex_);
  return !ids_.empty();
}

ThreadPool& VectorIndex::Pool() {
  if (pool_ == nullptr) pool_ = std::make_unique<ThreadPool>(threads_);
  return *pool_;
}

int8_t* VectorIndex::Values(int64_t row) const {
  const Segment& segment = segments_[static_cast<size_t>(row / segment_rows_)];
  return reinterpret_cast<int8_t*>(segment.values.data()) + row % segment_rows_ * padded_;
}

float& VectorIndex::Scale(int64_t row) {
  return segments_[static_cast<size_t>(row / segment_rows_)].scales[static_cast<size_t>(row % segment_rows_)];
}

void VectorIndex::Reserve(int64_t size) {
  if (size > kMostVectors) {
    throw Error(ErrorCode::kInvalidOption,
                "A vector index holds at most " + std::to_string(kMostVectors) + " vectors");
  }
  while (static_cast<int64_t>(segments_.size()) * segment_rows_ < size) {
    const auto rows = static_cast<size_t>(segment_rows_);
    Segment segment = {AlignedBuffer(rows * static_cast<size_t>(padded_), "the vectors of an index", true),
                       std::vector<float>(rows)};
    segments_.push_back(std::move(segment));
  }
}

void VectorIndex::AppendIds(const double* ids, int64_t count) {
  if (ids == nullptr && ids_.empty()) return;
  ids_.reserve(static_cast<size_t>(size_ + count));
  for (auto place = static_cast<int64_t>(ids_.size()); place < size_; ++place) {
    ids_.push_back(static_cast<double>(place));
  }
  for (int64_t i = 0; i < count; ++i) {
    ids_.push_back(ids != nullptr ? ids[i] : static_cast<double>(size_ + i));
  }
}

// Returns how far the stored vector, of length 1, is from the given direction. scratch [padded_].
double VectorIndex::Quantize(const float* vector, float* scratch, int64_t row) {
  int8_t* values = Values(row);
  const double length = LengthOf(vector, dimensions_);
  if (length == 0) {
    std::memset(values, 0, static_cast<size_t>(padded_));
    Scale(row) = 0;
    return 0;
  }
  for (int64_t i = 0; i < dimensions_; ++i) scratch[i] = static_cast<float>(vector[i] / length);
  std::fill(scratch + dimensions_, scratch + padded_, 0.0f);
  float step;
  kernels_.quantize_head_s8(scratch, padded_, values, &step);
  const float scale = ScaleOf(values, padded_);
  Scale(row) = scale;
  double distance = 0;
  for (int64_t i = 0; i < dimensions_; ++i) {
    const double difference = vector[i] / length - static_cast<double>(values[i]) * scale;
    distance += difference * difference;
  }
  return std::sqrt(distance);
}

double VectorIndex::Add(const float* vectors, const double* ids, int64_t count) {
  const std::lock_guard lock(mutex_);
  for (int64_t i = 0; i < count; ++i) {
    CheckFinite(vectors + i * dimensions_, dimensions_, "vectors[" + std::to_string(i) + "]");
  }
  Reserve(size_ + count);
  const int64_t rows = std::max<int64_t>(1, task_rows_ / 16), tasks = (count + rows - 1) / rows;
  const auto threads = static_cast<size_t>(tasks > 1 ? Pool().size() : 1);
  std::vector<std::vector<float>> scratch(threads, std::vector<float>(static_cast<size_t>(padded_)));
  std::vector<double> largest(threads);
  const auto quantize = [&](int64_t task, int thread) {
    const auto own = static_cast<size_t>(thread);
    for (int64_t i = task * rows; i < std::min(count, (task + 1) * rows); ++i) {
      const double distance = Quantize(vectors + i * dimensions_, scratch[own].data(), size_ + i);
      largest[own] = std::max(largest[own], distance);
    }
  };
  if (tasks > 1) {
    Pool().ParallelFor(tasks, quantize);
  } else if (tasks == 1) {
    quantize(0, 0);
  }
  AppendIds(ids, count);
  size_ += count;
  return *std::max_element(largest.begin(), largest.end());
}

void VectorIndex::Truncate(int64_t size) {
  const std::lock_guard lock(mutex_);
  size_ = std::clamp<int64_t>(size, 0, size_);
  if (!ids_.empty()) ids_.resize(static_cast<size_t>(size_));
  const auto segments = static_cast<size_t>((size_ + segment_rows_ - 1) / segment_rows_);
  segments_.erase(segments_.begin() + static_cast<int64_t>(segments), segments_.end());
}

// Vectors [first, first + count) of one segment.
void VectorIndex::Scan(int64_t first, int64_t count, const std::vector<PreparedQuery>& queries,
                       std::vector<Best>& best, int32_t* dots) {
  const int64_t block_rows = RowsOf(kBlockBytes, padded_);
  for (int64_t from = first; from < first + count; from += block_rows) {
    const int64_t rows = std::min(block_rows, first + count - from);
    const int8_t* values = Values(from);
    const float* scales = &Scale(from);
    for (size_t q = 0; q < queries.size(); ++q) {
      const PreparedQuery& query = queries[q];
      if (query.cancellation->cancelled()) continue;
      dot_vectors_(values, rows, query.values, padded_, dots);
      for (int64_t i = 0; i < rows; ++i) {
        best[q].Take(from + i, dots[i] * static_cast<double>(scales[i]) * query.scale);
      }
    }
  }
}

// What each thread found, [threads][queries].
std::vector<std::vector<VectorIndex::Best>> VectorIndex::ScanAll(const std::vector<PreparedQuery>& queries,
                                                                 const std::vector<Best>& none) {
  // Tasks do not cross segments.
  const int64_t tasks_of_segment = (segment_rows_ + task_rows_ - 1) / task_rows_;
  const int64_t last = size_ - 1;
  const int64_t tasks =
      size_ == 0 ? 0 : last / segment_rows_ * tasks_of_segment + last % segment_rows_ / task_rows_ + 1;
  const auto threads = static_cast<size_t>(tasks > 1 ? Pool().size() : 1);
  std::vector<std::vector<Best>> best(threads, none);
  for (std::vector<Best>& of_thread : best) {
    for (Best& of_query : of_thread) of_query.Reserve();  // nothing may throw within a task
  }
  const auto block_rows = static_cast<size_t>(RowsOf(kBlockBytes, padded_));
  std::vector<std::vector<int32_t>> dots(threads, std::vector<int32_t>(block_rows));
  const auto scan = [&](int64_t task, int thread) {
    const int64_t begin = task / tasks_of_segment * segment_rows_;
    const int64_t first = begin + task % tasks_of_segment * task_rows_;
    const int64_t end = std::min({size_, begin + segment_rows_, first + task_rows_});
    const auto own = static_cast<size_t>(thread);
    Scan(first, end - first, queries, best[own], dots[own].data());
  };
  if (tasks > 1) {
    Pool().ParallelFor(tasks, scan);
  } else if (tasks == 1) {
    scan(0, 0);
  }
  return best;
}

std::vector<std::vector<VectorIndex::Hit>> VectorIndex::Search(const std::vector<Query>& queries) {
  const std::lock_guard lock(mutex_);
  std::vector<PreparedQuery> prepared;
  std::vector<Best> none;
  for (const Query& query : queries) {
    CheckFinite(query.vector, dimensions_, "The query");
    prepared.emplace_back(query, dimensions_, padded_);
    none.emplace_back(std::min(query.k, size_));
  }
  const std::vector<std::vector<Best>> best = ScanAll(prepared, none);
  std::vector<std::vector<Hit>> results;
  for (size_t q = 0; q < queries.size(); ++q) {
    std::vector<Hit> hits;
    for (const std::vector<Best>& of_thread : best) {
      hits.insert(hits.end(), of_thread[q].hits().begin(), of_thread[q].hits().end());
    }
    std::sort(hits.begin(), hits.end(), Best::Before);
    hits.resize(std::min(hits.size(), static_cast<size_t>(std::min(queries[q].k, size_))));
    for (Hit& hit : hits) {
      hit.id = ids_.empty() ? static_cast<double>(hit.index) : ids_[static_cast<size_t>(hit.index)];
    }
    results.push_back(std::move(hits));
  }
  return results;
}

std::vector<uint8_t> VectorIndex::Read(int64_t first, int64_t count) const {
  const std::lock_guard lock(mutex_);
  if (first < 0 || count < 0 || first > size_ - count) {
    throw Error(ErrorCode::kInternal, "Vectors beyond the end of an index were read");
  }
  const auto id_bytes = static_cast<size_t>(ids_.empty() ? 0 : count * 8);
  std::vector<uint8_t> bytes(static_cast<size_t>(count * dimensions_) + id_bytes);
  uint8_t* out = bytes.data();
  for (int64_t row = first; row < first + count; ++row, out += dimensions_) {
    std::memcpy(out, Values(row), static_cast<size_t>(dimensions_));
  }
  if (id_bytes > 0) std::memcpy(out, ids_.data() + first, id_bytes);
  return bytes;
}

void VectorIndex::Append(const uint8_t* bytes, int64_t size, int64_t count, bool has_ids) {
  const std::lock_guard lock(mutex_);
  if (count < 0 || size != count * (dimensions_ + (has_ids ? 8 : 0))) {
    throw Error(ErrorCode::kModelFormat, "A part of a vector index has another size than its vectors take");
  }
  std::vector<double> ids(static_cast<size_t>(has_ids ? count : 0));
  if (has_ids) std::memcpy(ids.data(), bytes + count * dimensions_, ids.size() * 8);
  for (const double id : ids) {
    if (!(id >= 0 && id <= 0x1p53 - 1 && id == std::floor(id))) {
      throw Error(ErrorCode::kModelFormat, "A vector index has an id that is no integer from 0 to 2^53 - 1");
    }
  }
  Reserve(size_ + count);
  for (int64_t i = 0; i < count; ++i) {
    int8_t* values = Values(size_ + i);
    std::memcpy(values, bytes + i * dimensions_, static_cast<size_t>(dimensions_));
    std::memset(values + dimensions_, 0, static_cast<size_t>(padded_ - dimensions_));
    Scale(size_ + i) = ScaleOf(values, dimensions_);
  }
  AppendIds(has_ids ? ids.data() : nullptr, count);
  size_ += count;
}

}  // namespace kvasir
