/** Lower case by the character, without regard to what stands beside it: a sigma at the end of a word is no other one. */
import { lowerCase } from './tables.js';

let mapping: Map<number, number> | undefined;

function readMapping(): Map<number, number> {
  const map = new Map<number, number>();
  let start = 0;
  for (const run of lowerCase.split(',')) {
    const [from, length, distance, step] = run.split(':').map((part) => Number.parseInt(part, 36));
    start += from!;
    for (let c = start; c <= start + length!; c += step!) map.set(c, c + distance!);
  }
  return map;
}

/** Of one code point; U+0130 alone becomes two. */
export function lowerCaseOf(point: number): string {
  if (point < 0x80) return String.fromCharCode(point >= 0x41 && point <= 0x5a ? point + 32 : point);
  if (point === 0x130) return 'i\u0307';
  mapping ??= readMapping();
  return String.fromCodePoint(mapping.get(point) ?? point);
}
