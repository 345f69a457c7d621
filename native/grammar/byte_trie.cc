#include "grammar/byte_trie.h"

#include <algorithm>
#include <string_view>

#include "grammar/limits.h"

namespace kvasir::grammar {

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
           byte_[static_cast<size_t>(path[depth + 1])] == static_cast<uint8_t>(now[depth])) {
      ++depth;
    }
    while (path.size() > depth + 1) {
      end_[static_cast<size_t>(path.back())] = size();
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
  for (const int32_t node : path) end_[static_cast<size_t>(node)] = size();
  first_.push_back(static_cast<int32_t>(ids_.size()));
  root_.fill(-1);
  for (int32_t node = 1; node < size(); node = End(node)) root_[Byte(node)] = node;
}

void ByteTrie::AddNode(uint8_t byte, uint32_t depth) {
  byte_.push_back(byte);
  depth_.push_back(static_cast<uint16_t>(depth));
  end_.push_back(0);
  first_.push_back(static_cast<int32_t>(ids_.size()));
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
