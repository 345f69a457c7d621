// Part 4: the tiny checkpoints generate greedily the same on the CPU and on the GPU, by bits.
import { compareDevices } from '../gpu-parity.mjs';

export async function checkParity({ app, say, isTiny }) {
  const { Model } = await import(`${app}dist/index.js`);
  const tiny = (name) => ({
    reference: `${app}test/fixtures/${name}`,
    name,
    promptTokens: 16,
    maxTokens: 12,
  });
  const subjects = [
    { reference: 'nano-gpt-sort', name: 'nano-gpt-sort', promptTokens: 6, maxTokens: 4 },
    ...(isTiny
      ? []
      : [
          tiny('tiny-llama'),
          tiny('tiny-gpt2'),
          { reference: 'stories-260k', name: 'stories-260k', promptTokens: 300, maxTokens: 100 },
        ]),
  ];
  for (const subject of subjects) {
    for await (const { name, passed, detail } of compareDevices(Model, subject)) {
      say({ name, passed, text: passed ? 'equal' : `DIFFERENT: ${detail}` });
    }
  }
}
