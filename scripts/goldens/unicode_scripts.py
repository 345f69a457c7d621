"""Writes lib/tokenizer/unicode/scripts.ts: which characters the reference's pre-tokenizer UnicodeScripts keeps together.

usage: unicode_scripts.py > lib/tokenizer/unicode/scripts.ts   (tokenizers 0.23.3)

Scripts have no names here, only numbers in the order in which they are met; 0 is what belongs to all.
"""

from tokenizers import pre_tokenizers as P

from unicode_tables import base36

split = P.UnicodeScripts().pre_tokenize_str
members = ["", "a"]


def together(a, b):
    return len(split(a + b)) == 1


def script(c, near):
    if together("a", c) and together("\u0431", c):
        return 0
    for k in [near, *range(1, len(members))]:
        if k and together(members[k], c):
            return k
    members.append(c)
    return len(members) - 1


runs, before, now = [], 0, 0
for point in range(0x110000):
    value = now if 0xD800 <= point < 0xE000 else script(chr(point), now)
    if value != now:
        runs.append(base36(point - before) + ":" + base36(now))
        before, now = point, value
runs.append(base36(0x110000 - before) + ":" + base36(now))
print("/** Scripts as numbers: a distance and the script that ends there. Written by scripts/goldens/unicode_scripts.py. */")
print("export const scripts =\n  '" + ",".join(runs) + "';")
