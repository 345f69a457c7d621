/** Breaks streamed text between words, so that a terminal does not break it within them. Blocks of code keep their lines. */

const fence = '```';

/** East Asian wide forms and emoji take two columns, marks and joiners none. */
function columnsOf(text: string): number {
  let columns = 0;
  for (const character of text) {
    if (/[\p{Mn}\p{Me}\p{Cf}]/u.test(character)) continue;
    const wide =
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u;
    columns += wide.test(character) || /\p{Emoji_Presentation}/u.test(character) ? 2 : 1;
  }
  return columns;
}

export class WordWrap {
  #word = '';
  #column = 0;
  /** White space that stands before the word, not written yet. */
  #gap = '';
  #line = '';
  #inCode = false;

  /** @param columns of the terminal, now: it may be resized. */
  constructor(readonly columns: () => number) {}

  /** What can be written; a word waits for its end. */
  push(text: string): string {
    let out = '';
    for (const part of text.split(/(\n|[^\S\n]+)/)) {
      if (part === '') continue;
      if (part === '\n') out += this.#endWord() + this.#endLine();
      else if (/^\s/.test(part)) {
        out += this.#endWord();
        this.#gap += part;
      } else this.#word += part;
    }
    return out;
  }

  flush(): string {
    const rest = this.#endWord() + this.#gap;
    this.#gap = '';
    return rest;
  }

  #endWord(): string {
    if (this.#word === '') return '';
    const [gap, word] = [this.#gap, this.#word];
    [this.#gap, this.#word] = ['', ''];
    this.#line += gap + word;
    const width = columnsOf(gap) + columnsOf(word);
    const breaks = !this.#inCode && this.#column > 0 && this.#column + width > this.columns();
    this.#column = breaks ? columnsOf(word) : this.#column + width;
    return breaks ? `\n${word}` : gap + word;
  }

  #endLine(): string {
    if (this.#line.trimStart().startsWith(fence)) this.#inCode = !this.#inCode;
    const gap = this.#gap;
    [this.#gap, this.#line, this.#column] = ['', '', 0];
    return `${gap}\n`;
  }
}
