/** Text put before a text, or in the place of parts of it. */
import { type AlignedText, Rewriting } from '../aligned-text.js';
import type { CheckedComponent } from '../component.js';
import { createFinder, Matches } from '../patterns/finder.js';
import { checkTextLength } from '../work.js';

export function prepend(source: AlignedText, prefix: string): AlignedText {
  if (source.text === '') return source;
  const rewriting = new Rewriting(source);
  rewriting.put(prefix, 0);
  rewriting.keep(0, source.text.length);
  return rewriting.done();
}

function countOf(text: string, part: string): number {
  let count = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) ++count;
  return count;
}

/** What is put in the place of a match comes from the last character of it. */
export function replace(node: CheckedComponent): (source: AlignedText) => AlignedText {
  const finder = createFinder(node);
  const content = node.text('content');
  const plain = (node.fields.pattern as { String?: string }).String;
  return (source) => {
    const { text } = source;
    if (source.starts === undefined && plain) {
      const count = countOf(text, plain);
      if (count === 0) return source;
      checkTextLength(text.length + count * (content.length - plain.length));
      return { ...source, text: text.replaceAll(plain, () => content) };
    }
    const matches = new Matches();
    finder.find(text, 0, text.length, matches);
    if (!matches.hasMatch) return source;
    const rewriting = new Rewriting(source);
    let kept = 0;
    for (let i = 0; i < matches.count; ++i) {
      if (!matches.matched(i)) continue;
      rewriting.keep(kept, matches.start(i));
      rewriting.put(content, matches.end(i) - 1);
      kept = matches.end(i);
    }
    rewriting.keep(kept, text.length);
    return rewriting.done();
  };
}
