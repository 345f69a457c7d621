/** GPT-2's spelling of bytes: printable Latin-1 characters stand for themselves, the others follow from U+0100. */

const characterOfByte: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : next++);
  });
})();

/** By UTF-16 unit: all of them are below U+0144. */
const bytes = new Int16Array(0x144).fill(-1);
characterOfByte.forEach((character, byte) => {
  bytes[character.charCodeAt(0)] = byte;
});

/** -1 for a UTF-16 unit that stands for no byte. */
export function byteOfCharacter(unit: number): number {
  return bytes[unit] ?? -1;
}

const encoder = new TextEncoder();

export function characterOf(byte: number): string {
  return characterOfByte[byte]!;
}

/** The UTF-8 bytes of a text, one character for each. */
export function spellBytes(text: string): string {
  let spelled = '';
  for (const byte of encoder.encode(text)) spelled += characterOfByte[byte]!;
  return spelled;
}
