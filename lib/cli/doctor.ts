/** `kvasir doctor`: what this machine and this build can do, and what is wrong with them. */
import { existsSync, statSync } from 'node:fs';
import { totalmem } from 'node:os';
import type { Command } from 'commander';
import { KvasirError } from '../errors.js';
import { cacheRoot } from '../hub/cache.js';
import { modelAliases, pull } from '../hub/index.js';
import { availableMemory } from '../memory.js';
import { addonPath, type CpuReport, native } from '../native.js';
import { examineGpu, gpuRows } from './doctor-gpu.js';
import { FAILED } from './failure.js';
import { writeData, writeJson } from './output.js';
import { columns, size } from './report.js';
import { packageVersion } from '../version.js';

const help = `
Exit status 1 when something keeps models from running here.`;

const variables = [
  'KVASIR_CPU_ISA',
  'KVASIR_DEVICE',
  'KVASIR_GPU_LAYERS',
  'KVASIR_CUDA_LIBRARY',
  'KVASIR_DTYPE',
  'KVASIR_KV_DTYPE',
  'KVASIR_THREADS',
  'KVASIR_CONTEXT_LENGTH',
  'HF_HOME',
  'HF_HUB_CACHE',
  'HF_ENDPOINT',
  'HF_HUB_OFFLINE',
  'CUDA_VISIBLE_DEVICES',
];

export function registerDoctor(program: Command): void {
  program
    .command('doctor')
    .description('CPU features, kernels, GPU and why it is not used, build and versions')
    .option('--json', 'print one JSON object')
    .addHelpText('after', help)
    .action(async ({ json }: { json?: boolean }) => {
      const report = await examine();
      if (json) await writeJson(report);
      else await writeData(`${layout(report)}\n`);
      if (report.problems.length > 0) process.exitCode = FAILED;
    });
}

async function examine() {
  const addon = examineAddon();
  const { problem, ...gpu } = await examineGpu();
  const problems = [addon.error, addon.cpu?.error, problem].filter((one) => one !== undefined);
  return {
    version: packageVersion(),
    node: process.version,
    napi: process.versions.napi,
    platform: `${process.platform} ${process.arch}`,
    addon: { path: addon.path, built: addon.built },
    cpu: addon.cpu,
    gpu,
    memory: { total: totalmem(), available: availableMemory() },
    cache: { folder: cacheRoot(), exists: existsSync(cacheRoot()) },
    models: await Promise.all(modelAliases.map(presence)),
    environment: Object.fromEntries(
      variables.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
    ),
    problems,
  };
}

function examineAddon(): { path: string; built?: string; cpu?: CpuReport; error?: string } {
  try {
    const cpu = native().cpu();
    const path = addonPath();
    return { path, built: statSync(path).mtime.toISOString(), cpu };
  } catch (error) {
    return { path: addonPath(), error: (error as Error).message };
  }
}

/** Whether an alias can be loaded without a download. */
async function presence(alias: string): Promise<{ alias: string; present: boolean; root?: string }> {
  try {
    const { files } = await pull(alias, { download: false });
    return { alias, present: true, root: files.root };
  } catch (error) {
    if (!(error instanceof KvasirError)) throw error;
    return { alias, present: false };
  }
}

function layout(report: Awaited<ReturnType<typeof examine>>): string {
  const { cpu, memory, cache, addon } = report;
  const rows = [
    ['kvasir', `${report.version}, Node ${report.node} (N-API ${report.napi}), ${report.platform}`],
    ['addon', addon.built ? `${addon.path}, built ${addon.built}` : `${addon.path}: cannot be used`],
    ['CPU', cpu ? `${cpu.brand}, ${cpu.cores} cores for this process` : 'unknown without the addon'],
    ['kernels compiled', cpu?.compiled.join(', ') ?? '-'],
    ['kernels available', cpu?.available.join(', ') ?? '-'],
    ['kernels in use', cpu?.selected ?? '-'],
    ...gpuRows(report.gpu),
    ['memory', `${size(memory.available)} available of ${size(memory.total)}`],
    ['cache', `${cache.folder}${cache.exists ? '' : ' (not there yet)'}`],
    ...report.models.map(({ alias, root }) => [`model ${alias}`, root ?? 'not on this machine']),
    ...Object.entries(report.environment).map(([name, value]) => [name, String(value)]),
    ...report.problems.map((problem) => ['problem', problem]),
  ];
  return columns(rows);
}
