// The run of a GPU check: each part as a process group of its own under its limit, a line of result after each, and the
// report written after each. Runs in the unpacked kit, with nothing but Node.
//   check.mjs SECONDS OUT
// Settings for where the GPU is emulated: KVASIR_CUDA_LIBRARY, KVASIR_KIT_TESTS and KVASIR_KIT_MEASURE name what takes the
// place of the real library and programs, KVASIR_KIT_SIZE=tiny makes all sizes tiny, KVASIR_KIT_PARTS names other programs
// for parts (JSON, for tests).
import { spawn } from 'node:child_process';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { planParts, readResults } from './parts.mjs';
import { lineOf, markdownOf } from './report.mjs';

const partScript = fileURLToPath(new URL('part.mjs', import.meta.url));
/** Between asking a part's processes to end and ending them. */
const graceMs = 500;

/** Ends a whole process group; one that has ended is no error. */
function kill(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has ended.
  }
}

/**
 * Runs one part to its end or its limit.
 * @returns {Promise<{ status: number | string, output: string, errors: string }>} status 'limit': it was ended
 */
export function runPart(command, args, { limitMs, env }) {
  const child = spawn(command, args, { env, detached: true });
  // An empty input: there may be no /dev/null.
  child.stdin.on('error', () => {}).end();
  const texts = { output: '', errors: '' };
  const keep = (name) => (text) => {
    // A part that prints without end must not take the memory of the run.
    texts[name] = (texts[name] + text).slice(-4_000_000);
  };
  child.stdout.setEncoding('utf8').on('data', keep('output'));
  child.stderr.setEncoding('utf8').on('data', keep('errors'));
  return new Promise((resolve) => {
    let status;
    const end = (code) => {
      clearTimeout(timer);
      kill(child, 'SIGKILL');
      resolve({ status: status ?? code, ...texts });
    };
    const timer = setTimeout(() => {
      status = 'limit';
      kill(child, 'SIGTERM');
      setTimeout(() => {
        kill(child, 'SIGKILL');
        // What still holds the pipes is not waited for.
        setTimeout(() => end('limit'), graceMs).unref();
      }, graceMs);
    }, limitMs);
    child.on('error', (error) => {
      texts.errors += error.message;
      end('not started');
    });
    child.on('exit', (code, signal) => {
      status ??= code ?? signal;
      // Its last lines may be on their way; a grandchild may keep the pipes open.
      setTimeout(() => end(code), 100);
    });
    child.on('close', (code) => end(code));
  });
}

function writeReport(out, report) {
  mkdirSync(out, { recursive: true });
  const texts = { 'gpu-kit.json': `${JSON.stringify(report, null, 2)}\n`, 'gpu-kit.md': markdownOf(report) };
  for (const [name, text] of Object.entries(texts)) {
    const path = join(out, name);
    writeFileSync(`${path}.part`, text);
    renameSync(`${path}.part`, path);
  }
}

const commandOf = (name, others) => others[name] ?? [process.execPath, partScript, name];

export async function check(seconds, out, env = process.env) {
  const started = performance.now();
  const others = JSON.parse(env.KVASIR_KIT_PARTS ?? '{}');
  const report = { date: new Date().toISOString(), seconds, node: process.version, parts: [] };
  let partEnv = { ...env, KVASIR_KIT_OUT: out };
  for (const part of planParts(seconds)) {
    const begun = (performance.now() - started) / 1000;
    const limitMs = Math.max(1000, 1000 * (part.until - begun) - 2 * graceMs);
    const [command, ...args] = commandOf(part.name, others);
    const ran = await runPart(command, args, { limitMs, env: { ...partEnv, KVASIR_KIT_MS: `${limitMs}` } });
    const { results, rest } = readResults(ran.output);
    const failed = results.some(({ passed }) => passed === false);
    const done = {
      ...{ name: part.name, title: part.title, status: ran.status, limitSeconds: Math.round(limitMs / 1000) },
      seconds: Number(((performance.now() - started) / 1000 - begun).toFixed(1)),
      passed: ran.status === 0 && results.length > 0 && !failed,
      results,
      said: [...rest, ...ran.errors.trim().split('\n').slice(-20)].filter(Boolean),
    };
    report.parts.push(done);
    writeReport(out, report);
    process.stdout.write(`${lineOf(done)}\n`);
    // Without a GPU there is nothing to measure.
    if (results.some(({ stop }) => stop)) break;
    const library = results.find(({ name }) => name === 'library')?.built;
    if (library) partEnv = { ...partEnv, KVASIR_CUDA_LIBRARY: library };
  }
  process.stdout.write(`The report is ${join(out, 'gpu-kit.md')}\n`);
  return report.parts.every(({ passed }) => passed) ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const seconds = Number(process.argv[2]);
  if (!(seconds >= 10)) {
    process.stdout.write('run.sh SECONDS [OUT]: at least 10 seconds, such as 300 or 540\n');
    process.exitCode = 2;
  } else process.exitCode = await check(seconds, process.argv[3]);
}
