/** The smallest libraries of macOS and Windows that a loader's tables can be read of. */

/** A Mach-O file for ARM64. `symbols`: name, type (n_type), section (n_sect, 0: of another library). */
export function machO(libraries: string[], symbols: [name: string, type: number, section: number][]): Buffer {
  const load = (name: string) => {
    const size = 24 + Math.ceil((name.length + 1) / 8) * 8;
    const command = Buffer.alloc(size);
    command.writeUInt32LE(0xc, 0);
    command.writeUInt32LE(size, 4);
    command.writeUInt32LE(24, 8);
    command.write(name, 24);
    return command;
  };
  const commands = Buffer.concat([...libraries.map(load), Buffer.alloc(24)]);
  const table = Buffer.alloc(16 * symbols.length);
  let strings = '\0';
  for (const [i, [name, type, section]] of symbols.entries()) {
    table.writeUInt32LE(strings.length, 16 * i);
    table[16 * i + 4] = type;
    table[16 * i + 5] = section;
    strings += `${name}\0`;
  }
  const symtab = commands.length - 24;
  const fields = [2, 24, 32 + commands.length, symbols.length, 32 + commands.length + table.length];
  for (const [i, value] of fields.entries()) commands.writeUInt32LE(value, symtab + 4 * i);
  const header = Buffer.alloc(32);
  for (const [i, value] of [0xfeedfacf, 0x0100000c, 0, 6, libraries.length + 1].entries()) {
    header.writeUInt32LE(value, 4 * i);
  }
  return Buffer.concat([header, commands, table, Buffer.from(strings)]);
}

const sectionAddress = 0x1000;
const sectionOffset = 0x200;

/** A PE file for x86-64. A function is imported by its name, or by a number. */
export function pe(exported: string[], imports: [library: string, functions: (string | number)[]][]): Buffer {
  const section = Buffer.alloc(4096);
  let end = 0;
  const take = (bytes: number) => {
    end += bytes;
    return end - bytes;
  };
  const put = (text: string, before = 0) => {
    const at = take(before + text.length + 1);
    section.write(text, at + before);
    return sectionAddress + at;
  };
  const exportTable = take(40);
  const importTable = take(20 * (imports.length + 1));
  section.writeUInt32LE(exported.length, exportTable + 24);
  const names = take(4 * exported.length);
  section.writeUInt32LE(sectionAddress + names, exportTable + 32);
  for (const [i, name] of exported.entries()) section.writeUInt32LE(put(name), names + 4 * i);
  for (const [i, [library, functions]] of imports.entries()) {
    const thunks = take(8 * (functions.length + 1));
    section.writeUInt32LE(sectionAddress + thunks, importTable + 20 * i);
    section.writeUInt32LE(put(library), importTable + 20 * i + 12);
    for (const [j, one] of functions.entries()) {
      const value = typeof one === 'number' ? (1n << 63n) | BigInt(one) : BigInt(put(one, 2));
      section.writeBigUInt64LE(value, thunks + 8 * j);
    }
  }
  const head = Buffer.alloc(sectionOffset);
  head.writeUInt16LE(0x5a4d, 0);
  head.writeUInt32LE(0x40, 0x3c);
  head.writeUInt32LE(0x4550, 0x40);
  head.writeUInt16LE(0x8664, 0x44);
  head.writeUInt16LE(1, 0x46);
  head.writeUInt16LE(240, 0x54);
  head.writeUInt16LE(0x20b, 0x58);
  head.writeUInt32LE(sectionAddress + exportTable, 0x58 + 112);
  head.writeUInt32LE(sectionAddress + importTable, 0x58 + 120);
  const header = 0x58 + 240;
  const fields = [section.length, sectionAddress, section.length, sectionOffset];
  for (const [i, value] of fields.entries()) head.writeUInt32LE(value, header + 8 + 4 * i);
  return Buffer.concat([head, section]);
}
