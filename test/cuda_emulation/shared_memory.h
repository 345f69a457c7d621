// Shared memory with a shadow: each access is checked for bounds, alignment, bytes that nobody wrote in this block, and
// races. Two threads race where they touch the same byte, one of them writing, with no __syncthreads between (or, in one
// warp, no __syncwarp: shuffles, votes and mma do not order memory). Refuses raw pointers into it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "execution.h"

namespace cuda_emulation {

// One shared array of the running block.
struct SharedArray {
  const char* name;
  uint32_t begin;  // in the block's shared memory
  uint32_t bytes;
  uint32_t element;
};

// A declaration in the source (of one instantiation of a template).
struct SharedSite {
  uint64_t block = 0;  // in which `array` is valid
  const SharedArray* array = nullptr;
};

const SharedArray* DeclareShared(SharedSite* site, const char* name, uint32_t bytes, uint32_t element);
const SharedArray* DynamicSharedArray();
void LoadShared(const SharedArray* array, int64_t offset, void* to, uint32_t bytes, uint32_t align);
void StoreShared(const SharedArray* array, int64_t offset, const void* from, uint32_t bytes, uint32_t align);
// Adds to 4 bytes, atomically: races with plain accesses only.
uint32_t AddShared(const SharedArray* array, int64_t offset, uint32_t value);

template <typename T>
class SharedPtr;

// What p[i] is: a value when read, a store when assigned. It cannot be kept: `auto v = p[i]` would read too late.
template <typename T>
class SharedElement {
 public:
  using Value = std::remove_const_t<T>;
  SharedElement(const SharedArray* array, int64_t offset) : array_(array), offset_(offset) {}
  SharedElement(const SharedElement&) = delete;

  operator Value() && { return Load(); }
  Value operator=(const Value& value) && { return Store(value); }
  Value operator=(SharedElement&& other) && { return Store(other.Load()); }
  Value operator+=(const Value& value) && { return Store(static_cast<Value>(Load() + value)); }
  Value operator-=(const Value& value) && { return Store(static_cast<Value>(Load() - value)); }
  Value operator*=(const Value& value) && { return Store(static_cast<Value>(Load() * value)); }
  Value operator|=(const Value& value) && { return Store(static_cast<Value>(Load() | value)); }
  Value operator&=(const Value& value) && { return Store(static_cast<Value>(Load() & value)); }
  Value operator^=(const Value& value) && { return Store(static_cast<Value>(Load() ^ value)); }
  Value operator++() && { return Store(static_cast<Value>(Load() + 1)); }

 private:
  Value Load() const {
    Value value;
    LoadShared(array_, offset_, &value, sizeof(Value), alignof(Value));
    return value;
  }
  Value Store(Value value) {
    static_assert(!std::is_const_v<T>, "a store through SharedPtr<const T>");
    StoreShared(array_, offset_, &value, sizeof(Value), alignof(Value));
    return value;
  }
  const SharedArray* array_;
  int64_t offset_;
};

template <typename T>
class SharedPtr {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  SharedPtr() = default;
  SharedPtr(std::nullptr_t) {}
  SharedPtr(const SharedArray* array, int64_t offset) : array_(array), offset_(offset) {}
  template <typename U>
    requires(std::is_same_v<T, const U>)
  SharedPtr(const SharedPtr<U>& other) : array_(other.array()), offset_(other.offset()) {}

  SharedElement<T> operator[](int64_t i) const { return {array_, offset_ + i * Size()}; }
  SharedElement<T> operator*() const { return {array_, offset_}; }
  SharedPtr operator+(int64_t i) const { return {array_, offset_ + i * Size()}; }
  SharedPtr operator-(int64_t i) const { return {array_, offset_ - i * Size()}; }
  int64_t operator-(const SharedPtr& other) const { return (offset_ - other.offset_) / Size(); }
  SharedPtr& operator+=(int64_t i) { return *this = *this + i; }
  SharedPtr& operator-=(int64_t i) { return *this = *this - i; }
  SharedPtr& operator++() { return *this += 1; }
  bool operator==(const SharedPtr&) const = default;
  explicit operator bool() const { return array_ != nullptr; }

  const SharedArray* array() const { return array_; }
  int64_t offset() const { return offset_; }  // bytes from the array's begin

 private:
  static constexpr int64_t Size() { return static_cast<int64_t>(sizeof(T)); }
  const SharedArray* array_ = nullptr;
  int64_t offset_ = 0;
};

}  // namespace cuda_emulation

namespace kvasir::cuda {

template <typename T>
using SharedPtr = cuda_emulation::SharedPtr<T>;

template <typename U, typename T>
SharedPtr<U> SharedCast(SharedPtr<T> p) {
  return {p.array(), p.offset()};
}

template <typename T>
SharedPtr<T> DynamicShared() {
  return {cuda_emulation::DynamicSharedArray(), 0};
}

template <typename T>
T AtomicAddShared(SharedPtr<T> p, T v) {
  static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>);
  return static_cast<T>(cuda_emulation::AddShared(p.array(), p.offset(), static_cast<uint32_t>(v)));
}

}  // namespace kvasir::cuda

// The lambda has one static per place and instantiation, as a shared array has one place in a kernel's memory.
#define KVASIR_SHARED(type, name, count)                                                   \
  ::cuda_emulation::SharedPtr<type> name(::cuda_emulation::DeclareShared(                  \
                                             []() -> ::cuda_emulation::SharedSite* {       \
                                               static ::cuda_emulation::SharedSite site;   \
                                               return &site;                               \
                                             }(),                                          \
                                             #name, sizeof(type) * (count), sizeof(type)), \
                                         0)
