/** The emulated CUDA library in the place of the real one, for the tests of one file. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll } from 'vitest';

export const emulatedLibrary = fileURLToPath(
  new URL('../../build/Release/kvasir_cuda_emulated.so', import.meta.url),
);
export const libraryVariable = 'KVASIR_CUDA_LIBRARY';

export function useEmulatedGpu(): void {
  const before = process.env[libraryVariable];
  beforeAll(() => {
    process.env[libraryVariable] = emulatedLibrary;
  });
  afterAll(() => {
    if (before === undefined) delete process.env[libraryVariable];
    else process.env[libraryVariable] = before;
  });
}
