// Prints the kernel tables that the compiler of this machine can build, for binding.gyp, each between commas. CMakeLists.txt
// asks the same of the assembler. Node built-ins only: this runs before `npm ci`.
import { spawnSync } from 'node:child_process';
import { isMain } from './command.mjs';

/** Tables whose instructions are written as assembly: of binutils 2.36 and 2.35, and newer. */
const probes = {
  avxvnni: '{vex} vpdpbusd %ymm0, %ymm0, %ymm0',
  amx: 'tdpbssd %tmm0, %tmm1, %tmm2',
};

function assembles(instruction, compiler) {
  // CXX may name a launcher too, as in 'ccache g++'.
  const [command, ...first] = compiler.split(/\s+/);
  const args = [...first, '-x', 'c++', '-c', '-o', '/dev/null', '-'];
  return spawnSync(command, args, { input: `int main() { asm("${instruction}"); }` }).status === 0;
}

export function kernelTables(arch = process.arch, compiler = process.env.CXX || 'c++') {
  if (arch !== 'x64') return ['scalar'];
  const probed = Object.keys(probes).filter((name) => assembles(probes[name], compiler));
  return ['scalar', 'avx2', 'avx512', 'avx512vnni', ...probed];
}

if (isMain(import.meta.url)) process.stdout.write(`,${kernelTables().join(',')},\n`);
