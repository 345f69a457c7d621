/** The GPU part of `kvasir doctor`: library, driver, devices, and whether a model would use one of them. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { chooseDevice } from '../device.js';
import { addonPath, type CudaDeviceInfo, type CudaReport, native } from '../native.js';
import { loadOptionsOf } from './arguments.js';
import { size } from './report.js';

/** What the build of the CUDA library wrote down: scripts/cuda-build.mjs. */
interface BuildRecord {
  built: boolean;
  /** CUDA version of nvcc. */
  toolkit?: string;
  targets?: number[];
  /** Why it was not built. */
  reason?: string;
}

export interface GpuReport {
  /** A model would run on it, with KVASIR_DEVICE and KVASIR_GPU_LAYERS as they are. */
  used: boolean;
  /** Why, or why not. */
  reason: string;
  /** Absent without the addon. */
  status?: CudaReport['status'];
  library?: { path: string; build?: BuildRecord; targets?: string; runtimeVersion?: string };
  /** CUDA version that the driver supports. */
  driverVersion?: string;
  /** The kernel module, which may be there without the driver's library. */
  kernelModule?: string;
  devices: CudaDeviceInfo[];
  /** A GPU was asked for, and there is none. */
  problem?: string;
}

function firstLine(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').split('\n')[0]!.trim();
  } catch {
    return undefined;
  }
}

function buildRecord(): BuildRecord | undefined {
  try {
    return JSON.parse(readFileSync(join(dirname(addonPath()), 'kvasir_cuda.json'), 'utf8')) as BuildRecord;
  } catch {
    return undefined;
  }
}

/** Never throws: what is wrong is part of the report. */
export async function examineGpu(): Promise<GpuReport> {
  try {
    const report = await native().cuda(true);
    const { KVASIR_DEVICE: device, KVASIR_GPU_LAYERS: gpuLayers } = process.env;
    const choice = await choose({ device, gpuLayers }, report);
    const { status, library, targets, runtimeVersion, driverVersion, devices } = report;
    return {
      ...choice,
      status,
      library: { path: library, build: buildRecord(), targets, runtimeVersion },
      driverVersion,
      kernelModule: firstLine('/proc/driver/nvidia/version'),
      devices,
    };
  } catch (error) {
    return { used: false, reason: (error as Error).message, devices: [] };
  }
}

async function choose(given: Record<string, unknown>, report: CudaReport) {
  try {
    const { device, index, name, reason } = await chooseDevice(loadOptionsOf(given), async () => report);
    return index < 0 ? { used: false, reason } : { used: true, reason: `${device} ${name}: ${reason}` };
  } catch (error) {
    const { message } = error as Error;
    return { used: false, reason: message, problem: message };
  }
}

function describeLibrary({ library, status }: GpuReport): string {
  if (library === undefined) return 'unknown without the addon';
  const { path, build, targets, runtimeVersion } = library;
  if (targets !== undefined) return `${path}, CUDA ${runtimeVersion}, code for ${targets}`;
  if (status !== 'NO_LIBRARY') return `${path}: cannot be used`;
  return build?.reason === undefined ? `${path} is missing` : `not built: ${build.reason}`;
}

function describeDriver({ driverVersion, kernelModule }: GpuReport): string {
  if (driverVersion !== undefined) return `CUDA ${driverVersion}${kernelModule ? `, ${kernelModule}` : ''}`;
  return kernelModule ? `its library is missing; the kernel has ${kernelModule}` : 'none';
}

function describeDevice(device: CudaDeviceInfo): string {
  const { name, architecture, multiprocessors, totalMemory, freeMemory, problem } = device;
  if (name === '') return `cannot be used: ${problem}`;
  const free = freeMemory === undefined ? '' : `${size(freeMemory)} free of `;
  const about = `${name}, ${architecture}, ${multiprocessors} multiprocessors, ${free}${size(totalMemory)}`;
  return problem === undefined ? about : `${about}; cannot be used: ${problem}`;
}

/** Rows of the report for people. */
export function gpuRows(report: GpuReport): string[][] {
  return [
    ['GPU', `${report.used ? 'used' : 'not used'}: ${report.reason}`],
    ['CUDA library', describeLibrary(report)],
    ...(report.status === 'NO_LIBRARY' && !report.kernelModule
      ? []
      : [['NVIDIA driver', describeDriver(report)]]),
    ...report.devices.map((device) => [`cuda:${device.index}`, describeDevice(device)]),
  ];
}
