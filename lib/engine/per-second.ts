/** 0 where there was no time, or nothing came. */
export function perSecond(count: number, milliseconds: number): number {
  return milliseconds > 0 && count > 0 ? (1000 * count) / milliseconds : 0;
}
