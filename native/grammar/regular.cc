// Intersections and differences of regular parts: both as deterministic automata, then pairs of their states. What
// cannot reach the end is left out.
#include <algorithm>
#include <map>

#include "core/error.h"
#include "grammar/frames.h"

namespace kvasir::grammar {

namespace {

// Distances to the end from behind; states without one go, the others are numbered anew.
Dfa WithoutDeadEnds(Dfa dfa) {
  const size_t states = dfa.edges.size();
  std::vector<std::vector<int32_t>> into(states);
  for (size_t i = 0; i < states; ++i) {
    for (const Dfa::Edge& edge : dfa.edges[i])
      into[static_cast<size_t>(edge.to)].push_back(static_cast<int32_t>(i));
  }
  std::vector<uint32_t> distance(states, kFar);
  std::vector<int32_t> queue;
  for (size_t i = 0; i < states; ++i) {
    if (dfa.accepting[i] == 0) continue;
    distance[i] = 0;
    queue.push_back(static_cast<int32_t>(i));
  }
  for (size_t at = 0; at < queue.size(); ++at) {
    const auto to = static_cast<size_t>(queue[at]);
    for (const int32_t from : into[to]) {
      if (distance[static_cast<size_t>(from)] < kFar) continue;
      distance[static_cast<size_t>(from)] = distance[to] + 1;
      queue.push_back(from);
    }
  }
  Dfa out;
  if (states == 0 || distance[0] >= kFar) return out;
  std::vector<int32_t> number(states, -1);
  int32_t next = 0;
  for (size_t i = 0; i < states; ++i) {
    if (distance[i] < kFar) number[i] = next++;
  }
  for (size_t i = 0; i < states; ++i) {
    if (number[i] < 0) continue;
    std::vector<Dfa::Edge> edges;
    for (Dfa::Edge edge : dfa.edges[i]) {
      edge.to = number[static_cast<size_t>(edge.to)];
      if (edge.to >= 0) edges.push_back(edge);
    }
    out.edges.push_back(std::move(edges));
    out.accepting.push_back(dfa.accepting[i]);
    out.distance.push_back(distance[i]);
  }
  return out;
}

void CheckSize(size_t states) {
  if (states > kMostProductStates)
    throw LimitError("Patterns that hold together (or one without another) become more than 20,000 states");
}

// The target on a byte, or -1.
int32_t Target(const Dfa& dfa, int32_t state, int byte) {
  if (state < 0) return -1;
  for (const Dfa::Edge& edge : dfa.edges[static_cast<size_t>(state)]) {
    if (edge.low <= byte && byte <= edge.high) return edge.to;
  }
  return -1;
}

void AddEdge(std::vector<Dfa::Edge>& edges, int byte, int32_t to) {
  if (!edges.empty() && edges.back().to == to && edges.back().high + 1 == byte) {
    edges.back().high = static_cast<uint8_t>(byte);
  } else {
    edges.push_back({static_cast<uint8_t>(byte), static_cast<uint8_t>(byte), to});
  }
}

// Both in step; `b` may have come to an end (-1) where only `a` is asked for.
Dfa Pairs(const Dfa& a, const Dfa& b, bool subtract) {
  Dfa out;
  if (a.empty() || (b.empty() && !subtract)) return out;
  std::map<std::pair<int32_t, int32_t>, int32_t> known;
  std::vector<std::pair<int32_t, int32_t>> pairs;
  const auto number = [&](int32_t x, int32_t y) {
    const auto [place, is_new] = known.try_emplace({x, y}, static_cast<int32_t>(pairs.size()));
    if (is_new) pairs.emplace_back(x, y);
    CheckSize(pairs.size());
    return place->second;
  };
  number(0, b.empty() ? -1 : 0);
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto [x, y] = pairs[i];
    const bool in_b = y >= 0 && b.accepting[static_cast<size_t>(y)] != 0;
    out.accepting.push_back(a.accepting[static_cast<size_t>(x)] != 0 && in_b != subtract ? 1 : 0);
    std::vector<Dfa::Edge> edges;
    for (const Dfa::Edge& edge : a.edges[static_cast<size_t>(x)]) {
      for (int byte = edge.low; byte <= edge.high; ++byte) {
        const int32_t to = Target(b, y, byte);
        if (to >= 0 || subtract) AddEdge(edges, byte, number(edge.to, to));
      }
    }
    out.edges.push_back(std::move(edges));
  }
  return WithoutDeadEnds(std::move(out));
}

}  // namespace

Dfa Explore(const Automaton& automaton) {
  Frames frames(automaton);
  Dfa dfa;
  frames.Start(0);
  for (int32_t frame = 0; frame < frames.size(); ++frame) {
    CheckSize(static_cast<size_t>(frames.size()));
    std::vector<Dfa::Edge> edges;
    for (int byte = 0; byte < 256; ++byte) {
      const int32_t to = frames.Step(frame, static_cast<uint8_t>(byte));
      if (to >= 0) AddEdge(edges, byte, to);
    }
    dfa.edges.push_back(std::move(edges));
    dfa.accepting.push_back(frames.Accepts(frame) ? 1 : 0);
  }
  return WithoutDeadEnds(std::move(dfa));
}

Dfa Intersect(const Dfa& a, const Dfa& b) { return Pairs(a, b, false); }

Dfa Subtract(const Dfa& a, const Dfa& b) { return Pairs(a, b, true); }

}  // namespace kvasir::grammar
