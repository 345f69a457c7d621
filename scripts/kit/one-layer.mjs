// A model of one layer, one prompt and some decode steps: what compute-sanitizer and ncu look at.
import { fileURLToPath } from 'node:url';
import { shapes } from './model-shape.mjs';
import { loadShape } from './part-shape.mjs';
import { timeDecode, timePrefill } from './steps.mjs';

const app = fileURLToPath(new URL('../..', import.meta.url));
const out = process.env.KVASIR_KIT_OUT ?? `${app}results`;
const shape = process.env.KVASIR_KIT_SIZE === 'tiny' ? shapes.tiny : shapes['one-layer'];
const { loaded } = await loadShape({ app, out }, shape, 256);
await timePrefill(loaded.native, 64, 0);
await timeDecode(loaded.native, 1, 64, 2);
await loaded.native.dispose();
await loaded.tokenizer.dispose();
