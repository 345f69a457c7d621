/** The slots of a hash table that came from a file: their low bits are an entry + 1, 0 is free. */

/** Whether all are free or have an entry below `entries`, and one is free: then every search in them ends. */
export function areSlots(slots: Int32Array, entries: number): boolean {
  const mask = slots.length - 1;
  let isFree = false;
  for (let i = 0; i < slots.length; ++i) {
    const slot = slots[i]!;
    if (slot === 0) isFree = true;
    // The low bits of a slot that is taken are none that is free.
    else if ((slot & mask) === 0 || (slot & mask) > entries) return false;
  }
  return isFree;
}
