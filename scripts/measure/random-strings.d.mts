export function randomStrings(count: number): string[];
