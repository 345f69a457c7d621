// Reads what a loader reads of an ELF file of 64 bits: libraries it needs, symbols it shows and wants, versions of those.
// It refuses other classes and byte orders.

const sectionDynamic = 6;
const sectionDynsym = 11;
const sectionVersionNeeds = 0x6ffffffe;
const tagNeeded = 1;

const machines = { 62: 'x64', 183: 'arm64' };

function sectionsOf(view) {
  const at = Number(view.getBigUint64(0x28, true));
  const size = view.getUint16(0x3a, true);
  const count = view.getUint16(0x3c, true);
  return Array.from({ length: count }, (_, i) => {
    const base = at + i * size;
    return {
      type: view.getUint32(base + 4, true),
      offset: Number(view.getBigUint64(base + 24, true)),
      size: Number(view.getBigUint64(base + 32, true)),
      link: view.getUint32(base + 40, true),
    };
  });
}

/**
 * @param {Buffer} bytes
 * @returns {{ format: 'elf', cpu: string, needed: string[], exported: string[], wanted: string[], versions: string[] }}
 *   `versions`: of symbols of other libraries, such as GLIBC_2.17
 */
export function readElf(bytes) {
  if (bytes.readUInt32BE(0) !== 0x7f454c46 || bytes[4] !== 2 || bytes[5] !== 1) {
    throw new Error('not an ELF file of 64 bits, lowest byte first');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sections = sectionsOf(view);
  const text = (table, at) => {
    const begin = table.offset + at;
    return bytes.toString('latin1', begin, bytes.indexOf(0, begin));
  };
  const result = { format: 'elf', needed: [], exported: [], wanted: [], versions: [] };
  for (const section of sections) {
    const strings = sections[section.link];
    const end = section.offset + section.size;
    if (section.type === sectionDynamic) {
      for (let at = section.offset; at < end; at += 16) {
        const tag = Number(view.getBigUint64(at, true));
        if (tag === tagNeeded) result.needed.push(text(strings, Number(view.getBigUint64(at + 8, true))));
      }
    } else if (section.type === sectionDynsym) {
      for (let at = section.offset + 24; at < end; at += 24) {
        const name = text(strings, view.getUint32(at, true));
        const isDefined = view.getUint16(at + 6, true) !== 0;
        const isLocal = bytes[at + 4] >> 4 === 0;
        if (name !== '' && !isLocal) (isDefined ? result.exported : result.wanted).push(name);
      }
    } else if (section.type === sectionVersionNeeds) {
      readVersions(view, section, (at) => text(strings, at), result.versions);
    }
  }
  return { ...result, cpu: machines[view.getUint16(18, true)] ?? 'unknown' };
}

/** A chain of libraries, each with a chain of versions. */
function readVersions(view, section, text, versions) {
  for (let need = section.offset; ; ) {
    let at = need + view.getUint32(need + 8, true);
    for (let left = view.getUint16(need + 2, true); left > 0; left -= 1) {
      versions.push(text(view.getUint32(at + 8, true)));
      at += view.getUint32(at + 12, true);
    }
    const next = view.getUint32(need + 12, true);
    if (next === 0) return;
    need += next;
  }
}
