// Reads what a loader reads of a PE file of 64 bits (a Windows DLL): libraries and functions it needs, functions it shows.

const machines = { 34404: 'x64', 43620: 'arm64' };

/** @returns {{ format: 'pe', cpu: string, needed: string[], exported: string[], wanted: string[] }} */
export function readPe(bytes) {
  const header = bytes.readUInt16LE(0) === 0x5a4d ? bytes.readUInt32LE(0x3c) : -1;
  if (header < 0 || bytes.readUInt32LE(header) !== 0x4550) throw new Error('not a PE file');
  const optional = header + 24;
  if (bytes.readUInt16LE(optional) !== 0x20b) throw new Error('not a PE file of 64 bits');
  const sections = optional + bytes.readUInt16LE(header + 20);
  const place = (address) => {
    for (let i = 0; i < bytes.readUInt16LE(header + 6); i += 1) {
      const at = sections + 40 * i;
      const begin = bytes.readUInt32LE(at + 12);
      const size = Math.max(bytes.readUInt32LE(at + 8), bytes.readUInt32LE(at + 16));
      if (address >= begin && address < begin + size) return address - begin + bytes.readUInt32LE(at + 20);
    }
    throw new Error(`no section of the PE file holds ${address}`);
  };
  const text = (address) => {
    const at = place(address);
    return bytes.toString('latin1', at, bytes.indexOf(0, at));
  };
  const directory = (index) => bytes.readUInt32LE(optional + 112 + 8 * index);
  const exported = directory(0) === 0 ? [] : readExports(bytes, place(directory(0)), place, text);
  const imports = directory(1) === 0 ? [] : readImports(bytes, place(directory(1)), place, text);
  return {
    format: 'pe',
    cpu: machines[bytes.readUInt16LE(header + 4)] ?? 'unknown',
    needed: imports.map(({ library }) => library),
    exported,
    wanted: imports.flatMap(({ names }) => names),
  };
}

function readExports(bytes, table, place, text) {
  const names = place(bytes.readUInt32LE(table + 32));
  const count = bytes.readUInt32LE(table + 24);
  return Array.from({ length: count }, (_, i) => text(bytes.readUInt32LE(names + 4 * i)));
}

function readImports(bytes, table, place, text) {
  const imports = [];
  for (let at = table; bytes.readUInt32LE(at + 12) !== 0; at += 20) {
    const names = [];
    let entry = place(bytes.readUInt32LE(at) || bytes.readUInt32LE(at + 16));
    for (; bytes.readBigUInt64LE(entry) !== 0n; entry += 8) {
      const value = bytes.readBigUInt64LE(entry);
      // The highest bit: by number, without a name.
      if (value >> 63n === 0n) names.push(text(Number(value) + 2));
    }
    imports.push({ library: text(bytes.readUInt32LE(at + 12)), names });
  }
  return imports;
}
