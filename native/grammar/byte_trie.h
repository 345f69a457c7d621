// The bytes of a vocabulary's tokens as a tree, made once for each tokenizer. Immutable; any thread may read it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace kvasir::grammar {

// Bytes of one kind are mostly taken alike. A set of kinds has a bit for each.
using ByteKinds = uint64_t;
uint32_t KindOf(uint8_t byte);

// bits [words] of tokens.
inline void SetBits(uint32_t* bits, const std::vector<int32_t>& tokens) {
  for (const int32_t id : tokens) bits[static_cast<size_t>(id) / 32] |= 1u << (id % 32);
}

class ByteTrie {
 public:
  // `offsets` [tokens + 1] into `bytes`; `usable` [tokens] 0: never part of a structure. Tokens without bytes and those
  // beyond kLongestToken are left out.
  ByteTrie(const uint8_t* bytes, const uint32_t* offsets, const uint8_t* usable, size_t tokens);

  // Nodes in the order of a walk into depth; 0 is the root. Children of n lie in [n + 1, End(n)).
  int32_t size() const { return static_cast<int32_t>(nodes_.size()); }
  uint8_t Byte(int32_t node) const { return At(node).byte; }
  int32_t End(int32_t node) const { return At(node).end; }
  // Bytes from the root.
  uint32_t Depth(int32_t node) const { return At(node).depth; }
  // Bytes from the root of the longest token below it.
  uint32_t Deepest(int32_t node) const { return At(node).deepest; }
  // Tokens of more than so many bytes.
  std::span<const int32_t> LongerThan(uint32_t bytes) const {
    return std::span(by_length_).first(bytes < longest_ ? longer_[bytes] : 0);
  }
  // Of its own byte and of all below it.
  ByteKinds Kinds(int32_t node) const { return kinds_[static_cast<size_t>(node)]; }
  // Tokens that end at a node.
  const int32_t* TokensBegin(int32_t node) const { return ids_.data() + At(node).first; }
  const int32_t* TokensEnd(int32_t node) const { return TokensFrom(node + 1); }
  // And those that end below it: they follow.
  const int32_t* TokensEndBelow(int32_t node) const { return TokensFrom(End(node)); }
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
  struct Node {
    int32_t end = 0;
    int32_t first;  // into ids_
    uint16_t depth, deepest;
    uint8_t byte;
  };
  const Node& At(int32_t node) const { return nodes_[static_cast<size_t>(node)]; }
  const int32_t* TokensFrom(int32_t node) const {
    return node < size() ? TokensBegin(node) : ids_.data() + ids_.size();
  }
  void AddNode(uint8_t byte, uint32_t depth);
  void FindKinds();
  void SortByLength();

  std::vector<Node> nodes_;
  std::vector<ByteKinds> kinds_;    // [size]
  std::vector<int32_t> ids_;        // of all tokens, in the order of their nodes
  std::vector<int32_t> by_length_;  // the same, the longest first
  std::vector<size_t> longer_;      // [longest] how many of them have more bytes
  std::vector<int32_t> node_of_;    // [tokens] where each ends, or -1
  std::vector<int32_t> parent_;     // [size]
  std::array<int32_t, 256> root_;   // children of the root
  std::array<bool, 256> has_byte_{};
  size_t tokens_;
  uint32_t longest_ = 0;
};

}  // namespace kvasir::grammar
