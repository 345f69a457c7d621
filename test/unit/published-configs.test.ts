/** config.json of well-known models: as published, which is often an older form, and as the reference saves it today. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { planFromConfig } from '../../lib/architectures/index.js';

type Config = Record<string, unknown>;

const configs: Record<string, { published: Config; saved: Config }> = JSON.parse(
  readFileSync(new URL('../fixtures/published-configs.json', import.meta.url), 'utf8'),
);

it.each(Object.entries(configs))('%s means the same in both forms', (_, { published, saved }) => {
  const { spec, tied } = planFromConfig(published);
  expect(spec.vocabSize).toBe(
    (published.text_config as Config | undefined)?.vocab_size ?? saved.vocab_size ?? 262208,
  );
  expect(planFromConfig(saved)).toMatchObject({ spec, tied });
});
