// What the machine can do: node limits_driver.mjs KERNELS THREADS -> one line of JSON, units per second.
// In a process of its own, so that its huge pages are free again when the engines are measured.
import { createRequire } from 'node:module';

const [kernels, threads] = process.argv.slice(2);
const { machineLimits } = createRequire(import.meta.url)('../../build/Release/kvasir_testing.node');
const bufferBytes = 144 * 2 ** 20;
process.stdout.write(`${JSON.stringify(machineLimits(kernels, Number(threads), bufferBytes))}\n`);
