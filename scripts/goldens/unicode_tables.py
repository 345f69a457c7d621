"""Writes lib/tokenizer/unicode/tables.ts: the classes of characters as the reference tokenizer knows them.

usage: unicode_tables.py > lib/tokenizer/unicode/tables.ts   (tokenizers 0.23.3; takes minutes)

Each part of the reference has tables of its own, of different versions of Unicode: Oniguruma for patterns, two old crates for
punctuation, controls and normal forms, the standard library for digits and white space. They are asked here, one character
after the other, so that a runtime with another version of Unicode gives the same ids.
"""

import sys
import unicodedata

from tokenizers import Regex
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P

POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
BLOCK = 4096
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(n):
    out = ""
    while True:
        n, digit = divmod(n, 36)
        out = DIGITS[digit] + out
        if n == 0:
            return out


def matched(pre_tokenizer, separator=""):
    """Points whose characters a removing pre-tokenizer takes out."""
    found = set(POINTS)
    for at in range(0, len(POINTS), BLOCK):
        block = POINTS[at : at + BLOCK]
        text = "".join(map(chr, block))
        for _, (start, end) in pre_tokenizer.pre_tokenize_str(text):
            found.difference_update(block[start:end])
    return found


def pattern(regex):
    return matched(P.Split(Regex(regex), "removed"))


def ranges(points):
    """Starts and ends by turns, each as its distance from the one before."""
    out, before, inside = [], 0, False
    for c in range(0x110001):
        if (c in points) != inside:
            out.append(base36(c - before))
            before, inside = c, not inside
    return ",".join(out)


def categories():
    named = dict(a="Lu", b="Ll", c="Lt", d="Lm", e="Lo", m="M", n="Nd", k="Nl", o="No", p="P", s="S")
    of = {}
    for letter, name in named.items():
        for c in pattern(r"\p{%s}" % name):
            of[c] = letter
    out, before, now = [], 0, "-"
    for c in range(0x110001):
        letter = of.get(c, "-")
        if letter != now:
            out.append(base36(c - before) + now.upper())
            before, now = c, letter
    return "".join(out)


def numeric():
    # Runs of neighbours are told apart by a letter between them.
    found = set()
    digits = P.Digits(individual_digits=True)
    for at in range(0, len(POINTS), BLOCK):
        block = POINTS[at : at + BLOCK]
        for _, (start, end) in digits.pre_tokenize_str("a".join(map(chr, block))):
            if end - start == 1 and start % 2 == 0:
                found.add(block[start // 2])
    return found


def words():
    found = set()
    for c in POINTS:
        if len(P.Whitespace().pre_tokenize_str("a" + chr(c))) == 1 and chr(c).strip() != "":
            pieces = P.Whitespace().pre_tokenize_str("a" + chr(c))
            if pieces[0][1] == (0, 2):
                found.add(c)
    return found


def vanishing(normalizer, before=""):
    return {c for c in POINTS if normalizer.normalize_str(before + chr(c)) == before}


def bert(**on):
    flags = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return N.BertNormalizer(**{**flags, **on})


def combining():
    """Combining classes other than 0 that the reference knows: it sorts them before the highest."""
    known = known_combining()
    out, before, now = [], 0, 0
    for c in [*range(0x110000), 0x110000]:
        value = unicodedata.combining(chr(c)) if c in known else 0
        if value != now:
            out.append(base36(c - before) + ":" + base36(now))
            before, now = c, value
    return ",".join(out)


def known_combining():
    nfd = N.NFD()
    found = [c for c in POINTS if unicodedata.combining(chr(c))]
    return {c for c in found if c == 0x345 or nfd.normalize_str("a\u0345" + chr(c))[1] != "\u0345"}


def lower():
    """From, to pairs of what becomes another character; one becomes two."""
    lowercase = N.Lowercase()
    out = []
    for c in POINTS:
        text = lowercase.normalize_str(chr(c))
        if text != chr(c):
            out.append((c, text))
    singles = [(c, ord(t)) for c, t in out if len(t) == 1]
    assert [c for c, t in out if len(t) > 1] == [0x130]
    # Runs of one step and one distance.
    runs = []
    for c, t in singles:
        if runs and t - c == runs[-1][2]:
            start, end, distance, step = runs[-1]
            if step is None and c - end in (1, 2):
                runs[-1] = (start, c, distance, c - end)
                continue
            if step == c - end:
                runs[-1] = (start, c, distance, step)
                continue
        runs.append((c, c, t - c, None))
    text, before = [], 0
    for start, end, distance, step in runs:
        text.append(":".join([base36(start - before), base36(end - start), ("-" if distance < 0 else "") + base36(abs(distance)), base36(step or 1)]))
        before = start
    return ",".join(text)


def decomposing():
    nfkd = N.NFKD()
    return {c for c in POINTS if not 0xAC00 <= c < 0xD7A4 and nfkd.normalize_str(chr(c)) != chr(c)}


TABLES = dict(
    categories=("General categories in patterns: a distance and the category that ends there.", categories),
    space=("White space in patterns.", lambda: ranges(pattern(r"\s"))),
    whiteSpace=("White space of the standard library.", lambda: ranges(matched(P.WhitespaceSplit()))),
    punctuation=("Punctuation, ASCII's symbols too.", lambda: ranges(matched(P.Punctuation("removed")))),
    numeric=("What counts as a digit.", lambda: ranges(numeric())),
    word=("Word characters of the pre-tokenizer Whitespace.", lambda: ranges(words())),
    control=("What the BERT normalizer cleans away.", lambda: ranges(vanishing(bert(clean_text=True)))),
    nonSpacing=("Marks that the BERT normalizer strips.", lambda: ranges(vanishing(bert(strip_accents=True), "a"))),
    combiningMarks=("Marks that StripAccents strips.", lambda: ranges(vanishing(N.StripAccents()))),
    decomposing=("What decomposes by itself, Hangul syllables aside.", lambda: ranges(decomposing())),
    combiningClasses=("Canonical combining classes: a distance and the class that ends there.", combining),
    lowerCase=("Lower case: start, length, distance, step.", lower),
)

if __name__ == "__main__":
    print("/** Classes of characters as the reference knows them. Written by scripts/goldens/unicode_tables.py. */\n")
    for name, (what, make) in TABLES.items():
        print(f"/** {what} */\nexport const {name} =\n  '{make()}';\n")
        print(name, file=sys.stderr)
