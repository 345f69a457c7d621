// Reads what a loader reads of a Mach-O file of 64 bits: libraries it needs, symbols it shows and wants. It refuses fat files.

const loadSymtab = 0x2;
const loadLibraries = [0xc, 0x80000018, 0x8000001f];
const typeMask = 0x0e;
const isExternal = 0x01;
// Symbols of debug information, and those that only this library's own parts see.
const isHidden = 0xe0 | 0x10;

/** @returns {{ format: 'mach-o', cpu: string, needed: string[], exported: string[], wanted: string[] }} without the leading _ */
export function readMachO(bytes) {
  if (bytes.readUInt32LE(0) !== 0xfeedfacf) throw new Error('not a Mach-O file of 64 bits');
  const result = { format: 'mach-o', needed: [], exported: [], wanted: [] };
  const text = (at) => bytes.toString('latin1', at, bytes.indexOf(0, at));
  let at = 32;
  for (let left = bytes.readUInt32LE(16); left > 0; left -= 1) {
    const command = bytes.readUInt32LE(at);
    if (loadLibraries.includes(command)) result.needed.push(text(at + bytes.readUInt32LE(at + 8)));
    if (command === loadSymtab) readSymbols(bytes, at, text, result);
    at += bytes.readUInt32LE(at + 4);
  }
  return { ...result, cpu: bytes.readUInt32LE(4) === 0x0100000c ? 'arm64' : 'unknown' };
}

function readSymbols(bytes, command, text, result) {
  const symbols = bytes.readUInt32LE(command + 8);
  const strings = bytes.readUInt32LE(command + 16);
  for (let i = 0; i < bytes.readUInt32LE(command + 12); i += 1) {
    const at = symbols + 16 * i;
    const type = bytes[at + 4];
    if ((type & isHidden) !== 0 || (type & isExternal) === 0) continue;
    const name = text(strings + bytes.readUInt32LE(at)).replace(/^_/, '');
    ((type & typeMask) === 0 ? result.wanted : result.exported).push(name);
  }
}
