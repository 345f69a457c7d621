#include "grammar/byte_trie.h"

#include <algorithm>
#include <string_view>

#include "grammar/limits.h"

namespace kvasir::grammar {

// Letters, digits and the parts of UTF-8 in a few kinds, hexadecimal letters apart; of what punctuates each by itself.
uint32_t KindOf(uint8_t byte) {
  enum Kind : uint32_t {
    kControl,
    kDigit,
    kHexUpper,
    kUpper,
    kHexLower,
    kLower,
    kTail,
    kLead2,
    kLead3,
    kLead4,
    kMark,
    kOther
  };
  if (byte < 0x20) return kControl;
  if (byte >= 0x80) {
    return byte < 0xC0 ? kTail : byte < 0xE0 ? kLead2 : byte < 0xF0 ? kLead3 : byte < 0xF8 ? kLead4 : kMark;
  }
  if (byte >= '0' && byte <= '9') return kDigit;
  if (byte >= 'A' && byte <= 'Z') return byte <= 'F' ? kHexUpper : kUpper;
  if (byte >= 'a' && byte <= 'z') return byte <= 'f' ? kHexLower : kLower;
  // The space, and what lies before, between and behind digits and letters.
  const uint32_t before = byte > 'z' ? 62 : byte > 'Z' ? 36 : byte > '9' ? 10 : 0;
  return kOther + (byte - 0x20 - before);
}

ByteTrie::ByteTrie(const uint8_t* bytes, const uint32_t* offsets, const uint8_t* usable, size_t tokens)
    : node_of_(tokens, -1), tokens_(tokens) {
  const auto text = [&](int32_t id) {
    const auto i = static_cast<size_t>(id);
    return std::string_view(reinterpret_cast<const char*>(bytes) + offsets[i], offsets[i + 1] - offsets[i]);
  };
  std::vector<int32_t> order;
  for (size_t i = 0; i < tokens; ++i) {
    const uint32_t length = offsets[i + 1] - offsets[i];
    if (usable[i] != 0 && length > 0 && length <= kLongestToken) order.push_back(static_cast<int32_t>(i));
  }
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const int less = text(a).compare(text(b));
    return less != 0 ? less < 0 : a < b;
  });
  std::vector<int32_t> path{0};  // the nodes of the token before, by depth
  AddNode(0, 0);
  parent_.push_back(-1);
  for (const int32_t id : order) {
    const std::string_view now = text(id);
    size_t depth = 0;
    while (depth + 1 < path.size() && depth < now.size() &&
           Byte(path[depth + 1]) == static_cast<uint8_t>(now[depth])) {
      ++depth;
    }
    while (path.size() > depth + 1) {
      nodes_[static_cast<size_t>(path.back())].end = size();
      path.pop_back();
    }
    for (; depth < now.size(); ++depth) {
      parent_.push_back(path.back());
      path.push_back(size());
      AddNode(static_cast<uint8_t>(now[depth]), static_cast<uint32_t>(depth) + 1);
    }
    // In order, so that a node's tokens are all there before the next node is made.
    ids_.push_back(id);
    node_of_[static_cast<size_t>(id)] = path.back();
    longest_ = std::max(longest_, static_cast<uint32_t>(now.size()));
    if (now.size() == 1) has_byte_[static_cast<uint8_t>(now[0])] = true;
  }
  for (const int32_t node : path) nodes_[static_cast<size_t>(node)].end = size();
  FindKinds();
  SortByLength();
  root_.fill(-1);
  for (int32_t node = 1; node < size(); node = End(node)) root_[Byte(node)] = node;
}

void ByteTrie::AddNode(uint8_t byte, uint32_t depth) {
  const auto bytes = static_cast<uint16_t>(depth);
  nodes_.push_back(
      {.first = static_cast<int32_t>(ids_.size()), .depth = bytes, .deepest = bytes, .byte = byte});
}

void ByteTrie::FindKinds() {
  kinds_.assign(nodes_.size(), 0);
  for (size_t node = nodes_.size() - 1; node > 0; --node) {
    kinds_[node] |= ByteKinds{1} << KindOf(nodes_[node].byte);
    const auto parent = static_cast<size_t>(parent_[node]);
    kinds_[parent] |= kinds_[node];
    nodes_[parent].deepest = std::max(nodes_[parent].deepest, nodes_[node].deepest);
  }
}

void ByteTrie::SortByLength() {
  const auto length = [&](int32_t id) { return Depth(node_of_[static_cast<size_t>(id)]); };
  by_length_ = ids_;
  std::stable_sort(by_length_.begin(), by_length_.end(),
                   [&](int32_t a, int32_t b) { return length(a) > length(b); });
  for (uint32_t bytes = 0; bytes < longest_; ++bytes) {
    const auto end = std::partition_point(by_length_.begin(), by_length_.end(),
                                          [&](int32_t id) { return length(id) > bytes; });
    longer_.push_back(static_cast<size_t>(end - by_length_.begin()));
  }
}

int32_t ByteTrie::Child(int32_t node, uint8_t byte) const {
  if (node == 0) return root_[byte];
  for (int32_t child = node + 1; child < End(node); child = End(child)) {
    if (Byte(child) == byte) return child;
  }
  return -1;
}

std::vector<uint8_t> ByteTrie::BytesOf(int32_t token) const {
  std::vector<uint8_t> bytes;
  if (token < 0 || static_cast<size_t>(token) >= tokens_) return bytes;
  for (int32_t node = node_of_[static_cast<size_t>(token)]; node > 0;
       node = parent_[static_cast<size_t>(node)])
    bytes.push_back(Byte(node));
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

}  // namespace kvasir::grammar
