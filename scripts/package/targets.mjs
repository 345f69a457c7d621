// The systems that a package is made for: `kvasir` names each in `optionalDependencies`, and npm installs the one whose
// `os`, `cpu` and `libc` are its own.

const linux = (cpu, libc) => ({
  name: `linux-${cpu}${libc === 'musl' ? '-musl' : ''}`,
  os: 'linux',
  cpu,
  libc,
  zig: `${cpu === 'x64' ? 'x86_64' : 'aarch64'}-linux-${libc === 'musl' ? 'musl' : 'gnu.2.28'}`,
  cmake: { CMAKE_SYSTEM_NAME: 'Linux', CMAKE_SYSTEM_PROCESSOR: cpu === 'x64' ? 'x86_64' : 'aarch64' },
  linkFlags: [],
});

/**
 * `zig` is the triple of the compiler, `cmake` what CMake must be told of the system, `linkFlags` the linker.
 * @type {{ name: string, os: string, cpu: string, libc?: string, zig: string, cmake: Record<string, string>,
 *   linkFlags: string[] }[]}
 */
export const targets = [
  linux('x64', 'glibc'),
  linux('arm64', 'glibc'),
  linux('x64', 'musl'),
  linux('arm64', 'musl'),
  {
    name: 'darwin-arm64',
    os: 'darwin',
    cpu: 'arm64',
    zig: 'aarch64-macos.11.0',
    cmake: {
      CMAKE_SYSTEM_NAME: 'Darwin',
      CMAKE_SYSTEM_PROCESSOR: 'arm64',
      // CMake looks for Apple's tool, which only an installation would use.
      CMAKE_INSTALL_NAME_TOOL: '/bin/true',
    },
    // Node's own symbols are found when the addon is loaded.
    linkFlags: ['-Wl,-undefined,dynamic_lookup'],
  },
  {
    name: 'win32-x64',
    os: 'win32',
    cpu: 'x64',
    zig: 'x86_64-windows-gnu',
    cmake: { CMAKE_SYSTEM_NAME: 'Windows', CMAKE_SYSTEM_PROCESSOR: 'AMD64' },
    linkFlags: [],
  },
];

export const packageName = (target) => `@kvasir/${target.name}`;
