/** How much memory this process may still take: the machine's, or that of the container that it runs in. */
import { readFileSync } from 'node:fs';
import { freemem } from 'node:os';
import { KvasirError } from './errors.js';

/** A file of one number; undefined where there is none, or 'max'. */
function readNumber(path: string): number | undefined {
  try {
    const value = Number(readFileSync(path, 'utf8').trim());
    return Number.isFinite(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The number behind `name` in a file of lines such as `MemAvailable: 123 kB` or `inactive_file 123`. */
function readField(path: string, name: string): number | undefined {
  try {
    const match = new RegExp(`^${name}:?\\s+(\\d+)( kB)?`, 'm').exec(readFileSync(path, 'utf8'));
    return match ? Number(match[1]) * (match[2] ? 1024 : 1) : undefined;
  } catch {
    return undefined;
  }
}

interface Group {
  limit: string;
  usage: string;
  stat: string;
  /** File pages that the kernel drops when memory is short; they count as used. */
  reclaimable: string;
}

const groups: Group[] = [
  { limit: 'memory.max', usage: 'memory.current', stat: 'memory.stat', reclaimable: 'inactive_file' },
  {
    limit: 'memory/memory.limit_in_bytes',
    usage: 'memory/memory.usage_in_bytes',
    stat: 'memory/memory.stat',
    reclaimable: 'total_inactive_file',
  },
];

/**
 * Bytes. The smaller of the system's available memory and what the control group (v2 or v1) leaves.
 * @param root where /proc and /sys are.
 */
export function availableMemory(root = '/'): number {
  let available = readField(`${root}proc/meminfo`, 'MemAvailable') ?? freemem();
  for (const group of groups) {
    const folder = `${root}sys/fs/cgroup/`;
    const limit = readNumber(folder + group.limit);
    const usage = readNumber(folder + group.usage);
    if (limit === undefined || usage === undefined) continue;
    const reclaimable = readField(folder + group.stat, group.reclaimable) ?? 0;
    available = Math.min(available, Math.max(0, limit - usage + reclaimable));
  }
  return available;
}

export function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}

/**
 * Throws INSUFFICIENT_MEMORY when `required` bytes are not there.
 * @param parts what they are for.
 * @param remedy a sentence.
 */
export function requireMemory(required: number, parts: string, remedy: string): void {
  const available = availableMemory();
  if (required <= available) return;
  throw new KvasirError(
    'INSUFFICIENT_MEMORY',
    `The model needs ${mebibytes(required)} (${parts}), but only ${mebibytes(available)} are available. ${remedy}`,
    { details: { required, available } },
  );
}
