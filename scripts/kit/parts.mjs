// The parts of a GPU check, in the order of what matters most, and the time that each has. A part is a process of its own:
// one that fails, hangs or prints anything else does not stop the next.

/**
 * `until`: seconds from the start by which it ends in a run of 540 seconds; what a part leaves over is the next one's.
 * `from`: the shortest run that has it.
 */
export const parts = [
  { name: 'device', title: 'Device and driver', until: 20, from: 0 },
  { name: 'ceilings', title: 'Measured ceilings', until: 50, from: 0 },
  { name: 'kernels', title: 'Kernel tests, bit by bit', until: 110, from: 0 },
  { name: 'parity', title: 'Tiny checkpoints, CPU against GPU', until: 165, from: 0 },
  { name: 'shape-1b', title: 'Llama-3.2-1B shape', until: 295, from: 0 },
  { name: 'shape-8b', title: 'Llama-3.1-8B shape', until: 440, from: 450 },
  { name: 'times', title: 'Time per kernel', until: 535, from: 540 },
];

/** Of a run of so many seconds: the parts it has, each with the second by which it is ended. */
export function planParts(seconds) {
  const planned = parts.filter(({ from }) => from <= seconds);
  const whole = planned.at(-1).until;
  const factor = Math.min(1, seconds / whole);
  return planned.map((part) => ({ ...part, until: part.until * factor }));
}

/** The lines of a part's output that are its results; `rest` is everything else it printed. */
export function readResults(output) {
  const results = [];
  const rest = [];
  for (const line of output.split('\n')) {
    const result = parseResult(line);
    if (result) results.push(result);
    else if (line.trim() !== '') rest.push(line);
  }
  return { results, rest: rest.slice(-20) };
}

function parseResult(line) {
  if (!line.startsWith('{')) return undefined;
  try {
    const value = JSON.parse(line);
    return typeof value.name === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}
