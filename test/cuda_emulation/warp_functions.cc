// Shuffles and votes, when all their lanes are there.
#include <bit>
#include <sstream>

#include "block_state.h"
#include "device_functions.h"

namespace cuda_emulation {

int ShuffleSource(ShuffleKind kind, int lane, int operand, int width) {
  const int first = lane & ~(width - 1);
  switch (kind) {
    case ShuffleKind::kIndex: return first + (operand & (width - 1));
    case ShuffleKind::kUp: return lane - operand < first ? lane : lane - operand;
    case ShuffleKind::kDown: return lane + operand >= first + width ? lane : lane + operand;
    case ShuffleKind::kXor:
      // A lane of a later part of the warp keeps its own value; one of an earlier part is read (CUDA's guide).
      return (lane ^ operand) >= first + width ? lane : lane ^ operand;
  }
  return lane;
}

void ExecuteShuffle(void* const* payloads, uint32_t mask) {
  uint64_t values[kWarpLanes];
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    values[lane] = static_cast<ShufflePayload*>(payloads[lane])->bits;
  }
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    ShufflePayload& payload = *static_cast<ShufflePayload*>(payloads[lane]);
    if ((mask >> payload.lane & 1) == 0) {
      std::ostringstream text;
      text << "lane " << lane << " of the warp reads lane " << payload.lane << ", which is not in the mask 0x"
           << std::hex << mask;
      Fault(text.str());
    }
    payload.bits = values[payload.lane];
  }
}

namespace {

struct Vote {
  bool predicate;
  uint32_t ballot;
};

void ExecuteVote(void* const* payloads, uint32_t mask) {
  uint32_t ballot = 0;
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    if (static_cast<Vote*>(payloads[lane])->predicate) ballot |= 1u << lane;
  }
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    static_cast<Vote*>(payloads[std::countr_zero(rest)])->ballot = ballot;
  }
}

}  // namespace

uint32_t Ballot(uint32_t mask, bool predicate, Site site) {
  Vote vote{predicate, 0};
  Collective(mask, ExecuteVote, &vote, site);
  return vote.ballot;
}

}  // namespace cuda_emulation
