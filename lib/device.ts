/** Which device a model runs on, and why. What the machine has is told by native code; nothing is guessed here. */
import { KvasirError } from './errors.js';
import { type CudaDeviceInfo, type CudaReport, native, rethrow } from './native.js';
import { invalidOption, type LoadOptions } from './options.js';
import type { ModelSpec } from './spec.js';

export interface DeviceChoice {
  /** CUDA's index of the GPU, or -1: the CPU alone. */
  index: number;
  /** 'cpu' or 'cuda:N'. */
  device: 'cpu' | `cuda:${number}`;
  /** The GPU's name; absent for the CPU. */
  name?: string;
  /** Why it is this device. */
  reason: string;
}

const cpu = (reason: string): DeviceChoice => ({ index: -1, device: 'cpu', reason });

function gpu({ index, name }: CudaDeviceInfo, reason: string): DeviceChoice {
  return { index, device: `cuda:${index}`, name, reason };
}

function unavailable(device: string, reason: string): KvasirError {
  return new KvasirError(
    'DEVICE_UNAVAILABLE',
    `Device '${device}' cannot be used: ${reason} Device 'cpu' or 'auto' works without it.`,
    { details: { device, reason } },
  );
}

/** The GPU that 'cuda' or 'cuda:N' names, or why there is none. */
function findGpu(wanted: string, report: CudaReport): CudaDeviceInfo | string {
  if (report.status !== 'OK') return report.message;
  const { devices } = report;
  // The report is OK, so one of them can be used.
  if (!wanted.includes(':')) return devices.find(({ problem }) => problem === undefined)!;
  const index = Number(wanted.slice('cuda:'.length));
  const found = devices[index];
  if (found !== undefined) return found.problem ?? found;
  const shown = devices.length === 1 ? 'cuda:0 only' : `cuda:0 to cuda:${devices.length - 1}`;
  return `CUDA shows ${shown}; CUDA_VISIBLE_DEVICES decides which GPUs those are.`;
}

/**
 * @param describe what CUDA has; asked only where a GPU may be used
 * @throws KvasirError DEVICE_UNAVAILABLE where a GPU was asked for, by `device` or by `gpuLayers`, and none can be used;
 *   INVALID_OPTION where `gpuLayers` contradicts device 'cpu'
 */
export async function chooseDevice(
  { device = 'auto', gpuLayers = 'auto' }: Pick<LoadOptions, 'device' | 'gpuLayers'>,
  describe: () => Promise<CudaReport> = () => native().cuda(false).catch(rethrow),
): Promise<DeviceChoice> {
  const wantsLayers = typeof gpuLayers === 'number' && gpuLayers > 0;
  if (device === 'cpu') {
    if (wantsLayers) throw invalidOption('gpuLayers', gpuLayers, "'auto' or 0 with device 'cpu'");
    return cpu("device 'cpu' was asked for");
  }
  if (gpuLayers === 0) return cpu('gpuLayers is 0');
  const found = findGpu(device === 'auto' ? 'cuda' : device, await describe());
  if (typeof found !== 'string') {
    const reason = device === 'auto' ? 'the first GPU that can be used' : `device '${device}' was asked for`;
    return gpu(found, reason);
  }
  if (device !== 'auto') throw unavailable(device, found);
  if (wantsLayers) throw unavailable('cuda', `gpuLayers is ${gpuLayers}. ${found}`);
  return cpu(found);
}

/** Layers with a state run on the CPU alone: there where the device is free, else native refuses them by name. */
export function deviceFor(
  chosen: DeviceChoice,
  { device = 'auto', gpuLayers = 'auto' }: Pick<LoadOptions, 'device' | 'gpuLayers'>,
  spec: ModelSpec,
): DeviceChoice {
  const isFree = device === 'auto' && gpuLayers === 'auto';
  const hasStates = spec.states !== undefined && spec.states.length > 0;
  return chosen.index >= 0 && isFree && hasStates ? cpu('layers with a state run on the CPU alone') : chosen;
}
