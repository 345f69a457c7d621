/** The system that this process runs on, as the packages of prebuilt addons are named. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

/** Systems that a package is published for; scripts/package/targets.mjs makes them. */
export const prebuilt: readonly string[] = [
  'linux-x64',
  'linux-arm64',
  'linux-x64-musl',
  'linux-arm64-musl',
  'darwin-arm64',
  'win32-x64',
];

const programInterpreter = 3;

/**
 * The loader that an executable of Linux names, such as /lib64/ld-linux-x86-64.so.2; undefined where it names none.
 * @param head the first bytes of the file
 */
export function interpreterOf(head: Buffer): string | undefined {
  const is64Bit = head.length >= 64 && head.readUInt32BE(0) === 0x7f454c46 && head[4] === 2 && head[5] === 1;
  if (!is64Bit) return undefined;
  const table = Number(head.readBigUInt64LE(32));
  for (let i = 0; i < head.readUInt16LE(56); i += 1) {
    const at = table + i * head.readUInt16LE(54);
    if (at + 56 > head.length) return undefined;
    if (head.readUInt32LE(at) !== programInterpreter) continue;
    const begin = Number(head.readBigUInt64LE(at + 8));
    return head
      .toString('latin1', begin, begin + Number(head.readBigUInt64LE(at + 32)))
      .replace(/\0.*$/s, '');
  }
  return undefined;
}

function readHead(path: string): Buffer {
  const head = Buffer.alloc(4096);
  try {
    const file = openSync(path, 'r');
    try {
      return head.subarray(0, readSync(file, head, 0, head.length, 0));
    } finally {
      closeSync(file);
    }
  } catch {
    return head.subarray(0, 0);
  }
}

type CLibrary = 'glibc' | 'musl';

/**
 * The C library among the files that a process has in memory; undefined where none of both is there.
 * @param maps what /proc/PID/maps says
 */
export function mappedLibrary(maps: string): CLibrary | undefined {
  const has = (name: string) => new RegExp(`/(?:${name})(?: \\(deleted\\))?$`, 'm').test(maps);
  // musl's loader and library are one file, which some systems call libc.so.
  if (has('ld-musl-[^/\\n]*|libc\\.musl-[^/\\n]*|libc\\.so')) return 'musl';
  return has('libc\\.so\\.6|libc-[\\d.]+\\.so') ? 'glibc' : undefined;
}

function readMaps(): string {
  try {
    return readFileSync('/proc/self/maps', 'utf8');
  } catch {
    // Without /proc, and in Deno without all permissions.
    return '';
  }
}

/**
 * Whether this process runs on musl, the C library of Alpine. The executable alone does not tell: a loader that was named on
 * the command line is the executable, and the loader that a file names may stand in for another C library's.
 */
function isMusl(): boolean {
  const library = mappedLibrary(readMaps());
  if (library !== undefined) return library === 'musl';
  return interpreterOf(readHead(process.execPath))?.includes('/ld-musl-') === true;
}

/** Such as 'linux-x64-musl', whether a package is published for it or not. */
export function systemName(): string {
  const suffix = process.platform === 'linux' && isMusl() ? '-musl' : '';
  return `${process.platform}-${process.arch}${suffix}`;
}
