// How long a saved session takes to come back: node scripts/measure/sessions.mjs [model] [tokens] [rounds]
// Saves a session of about so many tokens, restores it in the same process, file in the page cache, and asks both to go on.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Model } from '../../dist/index.js';

const [reference = 'smollm2-135m', tokens = '1500', rounds = '5'] = process.argv.slice(2);
const model = await Model.load(reference);
const folder = mkdtempSync(join(tmpdir(), 'kvasir-sessions-'));
try {
  const session = model.createSession();
  const line = 'The ship went on along the coast, and the men looked at the hills. ';
  const perLine = await model.tokenizer.count(line);
  const greedy = { maxTokens: 8, temperature: 0 };
  const first = await session.send(line.repeat(Math.ceil((Number(tokens) - 40) / perLine)), greedy);
  const path = join(folder, 'a.session');
  const saving = performance.now();
  await session.save(path);
  const saveMs = performance.now() - saving;
  const restored = [];
  const times = [];
  for (let i = 0; i < Number(rounds); ++i) {
    const begin = performance.now();
    restored.push(await model.restoreSession(path));
    times.push(performance.now() - begin);
    if (i < Number(rounds) - 1) restored.pop().dispose();
  }
  const { tokens: expected } = await session.send('Go on.', greedy);
  const { tokens: found, usage } = await restored[0].send('Go on.', greedy);
  console.log(
    JSON.stringify({
      model: model.info.name,
      kvDtype: model.info.kvDtype,
      tokens: first.usage.promptTokens + first.usage.completionTokens,
      megabytes: Number((statSync(path).size / 1e6).toFixed(1)),
      saveMs: Number(saveMs.toFixed(1)),
      restoreMs: times.map((ms) => Number(ms.toFixed(1))),
      same: expected.join() === found.join(),
      cachedTokens: usage.cachedTokens,
    }),
  );
} finally {
  rmSync(folder, { recursive: true });
  await model.dispose();
}
