/**
 * The page's code as one script: the modules of browser/, each a function's scope, in the order in which they need each
 * other. They import by name or as a whole and export declarations; other forms are refused.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../native.js';

const folder = join(packageRoot, 'lib', 'trace-page', 'browser');
const imports = /^import (?:\{([^}]*)\}|\* as (\w+)) from '\.\/([\w-]+\.js)';\n/gm;
const exports = /^export (?=(?:async )?(?:const|function|class) (\w+))/gm;

interface Module {
  name: string;
  needs: string[];
  script: string;
}

function readModule(name: string): Module {
  const needs: string[] = [];
  const source = readFileSync(join(folder, name), 'utf8').replace(
    imports,
    (_, names: string | undefined, whole: string | undefined, from: string) => {
      needs.push(from);
      const bound = whole ?? `{ ${names!.replaceAll(/ as /g, ': ').trim()} }`;
      return `const ${bound} = modules['${from}'];\n`;
    },
  );
  const shown = [...source.matchAll(exports)].map(([, declared]) => declared);
  const body = source.replace(exports, '');
  const left = /^(?:import|export) .*/m.exec(body);
  if (left) throw new Error(`${name} has a form that the page cannot join: ${left[0]}`);
  const script = `modules['${name}'] = (() => {\n${body}return { ${shown.join(', ')} };\n})();\n`;
  return { name, needs, script };
}

/**
 * As a script element may hold it.
 * @param entry the module that needs the others
 * @throws what reading the package's own files throws
 */
export function pageCode(entry = 'main.js'): string {
  const done = new Map<string, string>();
  const add = (name: string): void => {
    if (done.has(name)) return;
    const { needs, script } = readModule(name);
    for (const one of needs) add(one);
    done.set(name, script);
  };
  add(entry);
  const code = `'use strict';\nconst modules = {};\n${[...done.values()].join('')}`;
  return code.replaceAll('</script', '<\\/script');
}
