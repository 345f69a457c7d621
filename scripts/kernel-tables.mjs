// Which kernel tables there are for an architecture, and which of them the compiler of this machine can build. For binding.gyp
// it prints the latter, each between commas. CMakeLists.txt has the same lists and asks the same of the assembler. Node
// built-ins only: this runs before `npm ci`.
import { spawnSync } from 'node:child_process';
import { isMain } from './command.mjs';

/** All tables of an architecture (as Node names it), worst first; what is not here has the scalar one alone. */
export const tablesOf = {
  x64: ['scalar', 'avx2', 'avxvnni', 'avx512', 'avx512vnni', 'amx'],
  arm64: ['scalar', 'neon', 'neon_dotprod', 'neon_i8mm'],
};

/**
 * Tables whose instructions are written as assembly, which assemblers of binutils know from 2.36, 2.35, 2.30 and 2.34 on, and
 * all of clang that this builds with.
 */
const probes = {
  avxvnni: '{vex} vpdpbusd %ymm0, %ymm0, %ymm0',
  amx: 'tdpbssd %tmm0, %tmm1, %tmm2',
  neon_dotprod: '.arch armv8.2-a+dotprod\\n sdot v0.4s, v1.16b, v2.4b[0]',
  neon_i8mm: '.arch armv8.2-a+i8mm\\n usmmla v0.4s, v1.16b, v2.16b',
};

function assembles(instruction, compiler) {
  // CXX may name a launcher too, as in 'ccache g++'.
  const [command, ...first] = compiler.split(/\s+/);
  const args = [...first, '-x', 'c++', '-c', '-o', '/dev/null', '-'];
  return spawnSync(command, args, { input: `int main() { asm("${instruction}"); }` }).status === 0;
}

/** @returns {string[]} */
export function kernelTables(arch = process.arch, compiler = process.env.CXX || 'c++') {
  const tables = tablesOf[arch] ?? ['scalar'];
  return tables.filter((name) => !(name in probes) || assembles(probes[name], compiler));
}

if (isMain(import.meta.url)) process.stdout.write(`,${kernelTables().join(',')},\n`);
