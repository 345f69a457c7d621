// Builds what the kit takes to other machines: the addon, the CUDA library, the kernel tests and cuda_measure, each with
// libstdc++ inside, from the objects of the last build.
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../command.mjs';
import { buildGpuPrograms } from '../native-build.mjs';
import { SetupError } from '../toolchain.mjs';

const folder = 'build/kit-parts';

async function must(command, args, root, what) {
  const { status, output } = await run(command, args, { cwd: root });
  if (status !== 0) throw new SetupError(`${output.trimEnd()}\n\n${what} could not be built.`);
}

/** Loops for the ceilings: machine code for sm_90a, where `wgmma` is, and PTX for later devices. */
async function compileCeilings(root, nvcc) {
  const source = 'native/testing/cuda_ceilings.cu';
  const hash = createHash('sha256')
    .update(readFileSync(join(root, source)))
    .digest('hex')
    .slice(0, 24);
  const object = join(root, folder, `cuda_ceilings-${hash}.o`);
  if (existsSync(object)) return object;
  const code = [
    ...['-gencode', 'arch=compute_90a,code=sm_90a'],
    ...['-gencode', 'arch=compute_80,code=[sm_80,compute_80]'],
  ];
  const args = ['-std=c++20', '-O3', '-I', 'native', ...code, '-c', source, '-o', object];
  await must(nvcc, args, root, 'cuda_measure');
  return object;
}

/**
 * @param {{ nvcc: string, objects: { path: string, object: string }[] }} manifest of the CUDA library
 * @returns {Promise<Record<string, string>>} name below build/Release of the kit -> file
 */
export async function buildPortable(root, manifest) {
  mkdirSync(join(root, folder), { recursive: true });
  const library = join(root, folder, 'kvasir_cuda.so');
  const portable = join(root, folder, 'old_glibc.o');
  const flags = ['-std=c++20', '-O2', '-fPIC', '-fvisibility=hidden', '-c', 'native/testing/old_glibc.cc'];
  await must(process.env.CXX ?? 'g++', [...flags, '-o', portable], root, 'The CUDA library');
  const objects = manifest.objects.map(({ object }) => object);
  const link = [
    '-shared',
    '-cudart=static',
    '-o',
    library,
    ...objects,
    portable,
    '-Xcompiler',
    '-static-libstdc++',
  ];
  link.push('-Xlinker', '--version-script=native/backend/cuda/exports.map,-z,defs,-s');
  await must(manifest.nvcc, [...link, '-lpthread', '-ldl', '-lrt'], root, 'The CUDA library');
  const ceilings = await compileCeilings(root, manifest.nvcc);
  const built = await buildGpuPrograms(root, manifest, ceilings, [
    'native_tests_gpu',
    'cuda_measure',
    'kvasir_portable',
  ]);
  const addon = join(root, folder, 'kvasir.node');
  copyFileSync(built.kvasir_portable, addon);
  return {
    'kvasir.node': addon,
    'kvasir_cuda.so': library,
    native_tests_gpu: built.native_tests_gpu,
    cuda_measure: built.cuda_measure,
  };
}
