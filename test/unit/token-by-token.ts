/** One step for each token: what a structure forces is not skipped. For what is compared with that, or counts steps. */
import { vi } from 'vitest';
import { DraftedStructure } from '../../lib/structure/drafted.js';
import { Structure } from '../../lib/structure/structure.js';

/** Call what it returns to skip again. */
export function withoutSkipping(): () => void {
  const forces = vi.spyOn(Structure.prototype, 'forces', 'get').mockReturnValue(false);
  const forced = vi.spyOn(DraftedStructure.prototype, 'forced').mockReturnValue([]);
  return () => {
    forces.mockRestore();
    forced.mockRestore();
  };
}
