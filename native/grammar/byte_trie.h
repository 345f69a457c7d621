// The bytes of a vocabulary's tokens as a tree, made once for each tokenizer. Immutable; any thread may read it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace kvasir::grammar {

class ByteTrie {
 public:
  // `offsets` [tokens + 1] into `bytes`; `usable` [tokens] 0: never part of a structure. Tokens without bytes and those
  // beyond kLongestToken are left out.
  ByteTrie(const uint8_t* bytes, const uint32_t* offsets, const uint8_t* usable, size_t tokens);

  // Nodes in the order of a walk into depth; 0 is the root. Children of n lie in [n + 1, End(n)).
  int32_t size() const { return static_cast<int32_t>(byte_.size()); }
  uint8_t Byte(int32_t node) const { return byte_[static_cast<size_t>(node)]; }
  int32_t End(int32_t node) const { return end_[static_cast<size_t>(node)]; }
  // Bytes from the root.
  uint32_t Depth(int32_t node) const { return depth_[static_cast<size_t>(node)]; }
  // Tokens that end at a node.
  const int32_t* TokensBegin(int32_t node) const { return ids_.data() + first_[static_cast<size_t>(node)]; }
  const int32_t* TokensEnd(int32_t node) const { return ids_.data() + first_[static_cast<size_t>(node) + 1]; }
  // -1: there is none.
  int32_t Child(int32_t node, uint8_t byte) const;

  size_t tokens() const { return tokens_; }
  size_t words() const { return (tokens_ + 31) / 32; }
  uint32_t longest() const { return longest_; }
  // Some token is this byte and nothing else.
  bool HasByte(uint8_t byte) const { return has_byte_[byte]; }
  // Of a usable token, else empty.
  std::vector<uint8_t> BytesOf(int32_t token) const;

 private:
  void AddNode(uint8_t byte, uint32_t depth);

  std::vector<uint8_t> byte_;
  std::vector<uint16_t> depth_;
  std::vector<int32_t> end_;
  std::vector<int32_t> first_;  // [size + 1] into ids_
  std::vector<int32_t> ids_;
  std::vector<int32_t> node_of_;   // [tokens] where each ends, or -1
  std::vector<int32_t> parent_;    // [size]
  std::array<int32_t, 256> root_;  // children of the root
  std::array<bool, 256> has_byte_{};
  size_t tokens_;
  uint32_t longest_ = 0;
};

}  // namespace kvasir::grammar
