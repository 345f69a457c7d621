/**
 * The pages under docs/ are short and true: paragraphs that can be read once, links that resolve, files and tests that
 * exist, and a test beside each rule of the normative pages. It refuses to judge the prose.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';

const maxParagraphWords = 120;
const maxArchitectureLines = 150;
const normative = ['docs/int8-format.md', 'docs/contract.md'];
/** Files that a page may name only if they are in the repository. Models, checkpoints and build products are not. */
const sourceName = /^[\w@./-]+\.(?:cc|h|cu|cuh|ts|mjs|py|md)$/;
const testName = /^[a-z0-9]+(?:_[a-z0-9]+){2,}$/;

const tracked = (pattern: string): string[] =>
  execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', pattern], {
    cwd: packageRoot,
    encoding: 'utf8',
  })
    .split('\n')
    .filter((path) => path !== '' && existsSync(join(packageRoot, path)));

interface Page {
  path: string;
  lines: string[];
}

const readPage = (path: string): Page => ({
  path,
  lines: readFileSync(join(packageRoot, path), 'utf8').split('\n'),
});

/** Lines outside of code fences, with their numbers from 1. */
function proseLines({ lines }: Page): { line: string; number: number }[] {
  let inCode = false;
  return lines.flatMap((line, index) => {
    if (line.startsWith('```')) {
      inCode = !inCode;
      return [];
    }
    return inCode ? [] : [{ line, number: index + 1 }];
  });
}

/** A list item is a paragraph of its own; tables and headings are none. */
function longParagraphs(page: Page): string[] {
  const found: string[] = [];
  let first = 0;
  let words = 0;
  const end = (): void => {
    if (words > maxParagraphWords) found.push(`${page.path}:${first}: ${words} words`);
    words = 0;
  };
  for (const { line, number } of [...proseLines(page), { line: '', number: 0 }]) {
    if (/^\s*$|^#|^\|/.test(line)) {
      end();
      continue;
    }
    if (/^\s*(?:[-*]|\d+\.)\s/.test(line)) end();
    if (words === 0) first = number;
    words += line.split(/\s+/).filter((word) => word !== '').length;
  }
  return found;
}

function brokenLinks(page: Page): string[] {
  return proseLines(page).flatMap(({ line, number }) =>
    [...line.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map(([, target]) => target!)
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => !existsSync(join(packageRoot, normalize(join(dirname(page.path), target)))))
      .map((target) => `${page.path}:${number}: ${target}`),
  );
}

const quoted = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);

/** Names in backticks that look like sources and are the end of no path in the repository. */
function missingFiles(page: Page, paths: readonly string[]): string[] {
  const isThere = (name: string): boolean => paths.some((path) => path === name || path.endsWith(`/${name}`));
  return proseLines(page).flatMap(({ line, number }) =>
    quoted(line)
      .filter((name) => sourceName.test(name) && !name.startsWith('build/') && !isThere(name))
      .map((name) => `${page.path}:${number}: ${name}`),
  );
}

/** Rows of tables whose last column is headed "test" and that name no test that exists. */
function untestedRules(page: Page, tests: ReadonlySet<string>): string[] {
  const found: string[] = [];
  let isRules = false;
  for (const { line, number } of proseLines(page)) {
    if (!line.startsWith('|')) {
      isRules = false;
      continue;
    }
    const cells = line.slice(1, line.lastIndexOf('|')).split('|');
    const last = cells.at(-1)!.trim();
    if (last === 'test') isRules = true;
    else if (isRules && !/^[-: ]+$/.test(last)) {
      const names = quoted(last);
      const unknown = names.filter((name) => !tests.has(name));
      if (names.length === 0) found.push(`${page.path}:${number}: no test`);
      for (const name of unknown) found.push(`${page.path}:${number}: ${name}`);
    }
  }
  return found;
}

/** Names in backticks that are spelled like native tests of a known beginning, and are none. */
function unknownTests(page: Page, tests: ReadonlySet<string>): string[] {
  const beginnings = ['transformer_', 'stored_weights_', 'thread_pool_', 'kv_cache_', 'cuda_emulation_'];
  return proseLines(page).flatMap(({ line, number }) =>
    quoted(line)
      .filter((name) => testName.test(name) && beginnings.some((beginning) => name.startsWith(beginning)))
      .filter((name) => !tests.has(name))
      .map((name) => `${page.path}:${number}: ${name}`),
  );
}

const pages = [...tracked('docs/*.md'), ...tracked('docs/**/*.md')]
  .filter((path, index, all) => all.indexOf(path) === index)
  .map(readPage);
const paths = tracked('*');
const nativeTests = paths
  .filter((path) => path.startsWith('native/testing/') && path.endsWith('.cc'))
  .flatMap((path) => [...readFileSync(join(packageRoot, path), 'utf8').matchAll(/^KV_TEST\((\w+)\)/gm)])
  .map(([, name]) => name!);
const testFiles = paths
  .filter((path) => path.endsWith('.test.ts') || /^native\/testing\/\w+\.cc$/.test(path))
  .map((path) => path.split('/').at(-1)!);
const tests = new Set([...nativeTests, ...testFiles]);

describe('docs/', () => {
  it('has pages, tests and sources to compare', () => {
    expect(pages.length).toBeGreaterThan(20);
    expect(nativeTests.length).toBeGreaterThan(100);
    expect(testFiles.length).toBeGreaterThan(20);
  });

  it(`has no paragraph of more than ${maxParagraphWords} words`, () =>
    expect(pages.flatMap(longParagraphs)).toEqual([]));

  it('has links that resolve', () =>
    expect([...pages, readPage('README.md')].flatMap(brokenLinks)).toEqual([]));

  it('names files that exist', () => expect(pages.flatMap((page) => missingFiles(page, paths))).toEqual([]));

  it('names native tests that exist', () =>
    expect(pages.flatMap((page) => unknownTests(page, tests))).toEqual([]));

  it('names a test for each rule', () =>
    expect(pages.flatMap((page) => untestedRules(page, tests))).toEqual([]));

  it.each(normative)('%s has rules', (path) =>
    expect(readPage(path).lines.filter((line) => /\| test \|$/.test(line)).length).toBeGreaterThan(1),
  );

  it(`fits the architecture on ${maxArchitectureLines} lines`, () =>
    expect(readPage('docs/architecture.md').lines.length).toBeLessThanOrEqual(maxArchitectureLines + 1));

  it('is reached from its index', () => {
    const index = readPage('docs/architecture.md').lines.join('\n');
    // Notes wait to be folded into the pages.
    const entrances = pages.filter(
      ({ path }) =>
        !path.startsWith('docs/notes-') && (path.split('/').length === 2 || path.endsWith('/README.md')),
    );
    // The front page of the site is an entrance itself.
    const own = ['docs/architecture.md', 'docs/index.md'];
    const missing = entrances.filter(
      ({ path }) => !own.includes(path) && !index.includes(`](${path.slice('docs/'.length)})`),
    );
    expect(missing.map(({ path }) => path)).toEqual([]);
  });
});

describe('the check of docs/', () => {
  const page = (...lines: string[]): Page => ({ path: 'docs/page.md', lines });
  const words = (count: number): string => Array(count).fill('word').join(' ');

  it('sees a long paragraph, and takes list items, tables and code for what they are', () => {
    expect(longParagraphs(page(words(60), words(61)))).toEqual(['docs/page.md:1: 121 words']);
    expect(longParagraphs(page(words(60), '', words(61)))).toEqual([]);
    expect(longParagraphs(page(`- ${words(60)}`, `- ${words(61)}`))).toEqual([]);
    expect(longParagraphs(page(`| ${words(200)} |`, '```', words(200), '```'))).toEqual([]);
  });

  it('sees a link, a file and a test that are not there', () => {
    expect(brokenLinks(page('[a](nowhere.md)', '[b](https://example.org)', '[c](../README.md#x)'))).toEqual([
      'docs/page.md:1: nowhere.md',
    ]);
    expect(
      missingFiles(page('`model/nowhere.cc`', '`backend.h`, `config.json`'), ['native/backend/backend.h']),
    ).toEqual(['docs/page.md:1: model/nowhere.cc']);
    expect(unknownTests(page('`transformer_flies_to_the_moon`'), tests)).toHaveLength(1);
  });

  it('sees a rule without a test', () => {
    const table = [
      '| rule | test |',
      '|---|---|',
      '| a | `docs.test.ts` |',
      '| b | none |',
      '| c | `gone` |',
    ];
    expect(untestedRules(page(...table), tests)).toEqual(['docs/page.md:4: no test', 'docs/page.md:5: gone']);
  });
});
