// `npm run format`, the C++ half: clang-format rewrites native/ and the emulation of CUDA in place.
import { run, runMain } from './command.mjs';
import { projectRoot } from './setup.mjs';
import { listFiles } from './stamp.mjs';
import { findClangFormat } from './toolchain.mjs';

await runMain(async () => {
  const files = listFiles(projectRoot, ['native', 'test/cuda_emulation']).filter((name) =>
    /\.(cc|h|cu|cuh)$/.test(name),
  );
  const { status } = await run(findClangFormat(projectRoot), ['-i', ...files], {
    cwd: projectRoot,
    show: true,
  });
  return status;
});
