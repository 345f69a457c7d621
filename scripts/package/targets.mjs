// The systems that a package is made for: `kvasir` names each in `optionalDependencies`, and npm installs the one whose
// `os`, `cpu` and `libc` are its own.
import { SetupError } from '../toolchain.mjs';

const linux = (cpu) => ({ CMAKE_SYSTEM_NAME: 'Linux', CMAKE_SYSTEM_PROCESSOR: cpu });

/**
 * `zig`: the target as Zig names it, with the oldest C library or system. `cmake`, `linkFlags`: what CMake is told of it.
 * `kernelsOf`: the target whose compiled kernel tables serve here too. They call a handful of mathematical functions and
 * memcpy, which every C library of a processor has under one name.
 * @type {{ name: string, os: string, cpu: string, libc?: 'glibc' | 'musl', zig: string, cmake: Record<string, string>,
 *   linkFlags?: string, kernelsOf?: string }[]}
 */
export const targets = [
  {
    ...{ name: 'linux-x64', os: 'linux', cpu: 'x64', libc: 'glibc' },
    zig: 'x86_64-linux-gnu.2.28',
    cmake: linux('x86_64'),
  },
  {
    ...{ name: 'linux-arm64', os: 'linux', cpu: 'arm64', libc: 'glibc' },
    zig: 'aarch64-linux-gnu.2.28',
    cmake: linux('aarch64'),
  },
  {
    ...{ name: 'linux-x64-musl', os: 'linux', cpu: 'x64', libc: 'musl', kernelsOf: 'linux-x64' },
    zig: 'x86_64-linux-musl',
    cmake: linux('x86_64'),
  },
  {
    ...{ name: 'linux-arm64-musl', os: 'linux', cpu: 'arm64', libc: 'musl', kernelsOf: 'linux-arm64' },
    zig: 'aarch64-linux-musl',
    cmake: linux('aarch64'),
  },
  {
    ...{ name: 'darwin-arm64', os: 'darwin', cpu: 'arm64' },
    zig: 'aarch64-macos.11.0',
    cmake: { CMAKE_SYSTEM_NAME: 'Darwin', CMAKE_SYSTEM_PROCESSOR: 'arm64' },
    // Functions of Node are those of the process that loads the addon. By default its name is where it was built.
    linkFlags: '-Wl,-undefined,dynamic_lookup -Wl,-install_name,@rpath/kvasir.node',
  },
  {
    ...{ name: 'win32-x64', os: 'win32', cpu: 'x64' },
    zig: 'x86_64-windows-gnu',
    // What Zig links by itself is enough.
    cmake: {
      CMAKE_SYSTEM_NAME: 'Windows',
      CMAKE_SYSTEM_PROCESSOR: 'AMD64',
      CMAKE_CXX_STANDARD_LIBRARIES: '',
    },
  },
];

export const packageName = (target) => `@kvasir/${target.name}`;

export const targetNamed = (name) => targets.find((target) => target.name === name);

/** The targets that are named, or all. */
export function chooseTargets(names) {
  const unknown = names.find((name) => targetNamed(name) === undefined);
  if (unknown) {
    throw new SetupError(`No system '${unknown}'; there are: ${targets.map(({ name }) => name).join(', ')}`);
  }
  return names.length === 0 ? targets : targets.filter(({ name }) => names.includes(name));
}
