// The systems that a package is made for: `kvasir` names each in `optionalDependencies`, and npm installs the one whose
// `os`, `cpu` and `libc` are its own.

/** @type {{ name: string, os: string, cpu: string, libc?: string }[]} */
export const targets = [
  { name: 'linux-x64', os: 'linux', cpu: 'x64', libc: 'glibc' },
  { name: 'linux-arm64', os: 'linux', cpu: 'arm64', libc: 'glibc' },
  { name: 'linux-x64-musl', os: 'linux', cpu: 'x64', libc: 'musl' },
  { name: 'linux-arm64-musl', os: 'linux', cpu: 'arm64', libc: 'musl' },
  { name: 'darwin-arm64', os: 'darwin', cpu: 'arm64' },
  { name: 'win32-x64', os: 'win32', cpu: 'x64' },
];

export const packageName = (target) => `@kvasir/${target.name}`;
