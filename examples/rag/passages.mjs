// The pages of a folder of Markdown as passages: sections by their headings, long ones cut between paragraphs.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Words of a passage, more or less: a small encoder sees 256 tokens. */
const LONGEST = 60;

/** [{ file, title, text }] of one page. */
function passagesOfPage(file, markdown) {
  const passages = [];
  let headings = [];
  let blocks = [];
  const flush = () => {
    const title = headings.filter(Boolean).join(': ');
    for (let text = []; blocks.length > 0; text = []) {
      let words = 0;
      do {
        text.push(blocks.shift());
        words += text.at(-1).split(/\s+/).length;
      } while (blocks.length > 0 && words + blocks[0].split(/\s+/).length <= LONGEST);
      passages.push({ file, title, text: text.join('\n\n') });
    }
  };
  for (const block of markdown.split(/\n\s*\n/)) {
    const heading = /^(#{1,4}) (.*)/.exec(block.trim());
    if (heading === null) {
      // Rows of a table are facts of their own.
      if (block.startsWith('|')) blocks.push(...rowsOf(block));
      else if (block.trim() !== '') blocks.push(block.trim());
      continue;
    }
    flush();
    headings = [...headings.slice(0, heading[1].length - 1)];
    headings[heading[1].length - 1] = heading[2].trim();
    const rest = block.trim().slice(heading[0].length).trim();
    if (rest !== '') blocks.push(rest);
  }
  flush();
  return passages;
}

/** A few rows at a time, each with the names of its columns left out. */
function rowsOf(table) {
  const rows = table.split('\n').filter((row) => row.startsWith('|') && !/^\|[\s|:-]*$/.test(row));
  return rows.map((row) => row.split('|').slice(1, -1).map((cell) => cell.trim()).join('; '));
}

/** Of every .md file below a folder, but for packages, hidden folders and a reference that was generated. */
export function passagesOf(folder) {
  return readdirSync(folder, { recursive: true })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => file.endsWith('.md') && !/(^|\/)(node_modules|reference|\..*)\//.test(file))
    .sort()
    .flatMap((file) => passagesOfPage(file, readFileSync(join(folder, file), 'utf8')));
}
