#!/usr/bin/env node
/** The `kvasir` command: one file of this folder for each of its commands. */
import { Command, CommanderError } from 'commander';
import { inFlags } from './arguments.js';
import { registerBench } from './bench.js';
import { registerBuild } from './build.js';
import { registerChat } from './chat.js';
import { registerClassify } from './classify.js';
import { registerCompare } from './compare.js';
import { registerDoctor } from './doctor.js';
import { registerEmbed } from './embed.js';
import { reportFailure, WRONG_USAGE } from './failure.js';
import { registerInfo } from './info.js';
import { Interrupts } from './interrupt.js';
import { registerInspect } from './inspect-text.js';
import { registerMerge } from './merge.js';
import { registerModels } from './models.js';
import { beQuiet } from './output.js';
import { registerPull } from './pull.js';
import { registerQuantize } from './quantize.js';
import { registerRerank } from './rerank.js';
import { registerRun } from './run.js';
import { registerServe } from './serve.js';
import { registerSearch } from './search.js';
import { packageVersion } from '../version.js';

const help = `
Data goes to stdout; progress, statistics and errors go to stderr. Where a flag names an environment variable, the flag
beats the variable, and the variable beats the default. KVASIR_CPU_ISA forces the kernels of one instruction set.

Exit status: 0 done, 1 failed, 2 the command line is wrong, 130 ended by Ctrl-C (143 by SIGTERM).`;

/** The command has its process to itself: what a guest asks for before it does, it takes (docs/process.md). */
process.env.KVASIR_SHORT_TIME_SLICE ??= '1';
process.env.KVASIR_TRIM_HEAP ??= '1';

function createProgram(interrupts: Interrupts): Command {
  const program = new Command('kvasir')
    .description('Runs language models in INT8 or FP32.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpCommand(false)
    .exitOverride()
    // Errors are reported in one place, below.
    .configureOutput({ outputError: () => {} })
    .addHelpText('after', help);
  registerRun(program, interrupts);
  registerChat(program, interrupts);
  registerEmbed(program, interrupts);
  registerServe(program, interrupts);
  registerSearch(program, interrupts);
  registerRerank(program, interrupts);
  registerClassify(program, interrupts);
  registerCompare(program, interrupts);
  registerBench(program, interrupts);
  registerPull(program, interrupts);
  registerModels(program);
  registerInfo(program, interrupts);
  registerInspect(program, interrupts);
  registerQuantize(program, interrupts);
  registerMerge(program, interrupts);
  registerDoctor(program);
  registerBuild(program, interrupts);
  for (const command of program.commands) {
    command.option('-q, --quiet', 'no progress and no statistics: on stderr are errors alone');
  }
  program.hook('preAction', (_, command) => {
    if (command.optsWithGlobals().quiet) beQuiet();
  });
  return program;
}

/** An empty variable counts as absent, as shells mean it. */
function dropEmptyVariables(): void {
  for (const [name, value] of Object.entries(process.env)) {
    if (name.startsWith('KVASIR_') && value === '') delete process.env[name];
  }
}

async function main(argv: readonly string[]): Promise<void> {
  const interrupts = new Interrupts();
  interrupts.listen();
  dropEmptyVariables();
  try {
    await createProgram(interrupts).parseAsync(argv, { from: 'user' });
    if (interrupts.status !== undefined) process.exitCode = interrupts.status;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    // No command was given, and the help that says so is out.
    if (error instanceof CommanderError && error.code === 'commander.help') {
      process.exitCode = WRONG_USAGE;
      return;
    }
    // What an interrupted command stumbles over is no news.
    const json = argv.slice(0, argv.includes('--') ? argv.indexOf('--') : undefined).includes('--json');
    process.exitCode = interrupts.status ?? (await reportFailure(inFlags(error), json));
  }
}

void main(process.argv.slice(2));
