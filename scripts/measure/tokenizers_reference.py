"""The reference's side of scripts/measure/tokenizers.mjs, on one core.

usage: tokenizers_reference.py speed TOKENIZER.json TEXTS.json   prints { load, seconds: [...] }
       tokenizers_reference.py ids TOKENIZER.json TEXTS.json OUT.json   writes the ids of every text
"""

import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from tokenizers import Tokenizer  # noqa: E402

mode, definition, texts = sys.argv[1:4]
start = time.process_time()
tokenizer = Tokenizer.from_file(definition)
load = time.process_time() - start
tokenizer.no_truncation()
tokenizer.no_padding()
with open(texts, encoding="utf-8") as file:
    texts = json.load(file)
if mode == "ids":
    with open(sys.argv[4], "w") as file:
        json.dump([tokenizer.encode(text).ids for text in texts], file, separators=(",", ":"))
else:
    seconds = []
    for text in texts:
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            tokenizer.encode(text)
            best = min(best, time.process_time() - start)
        seconds.append(best)
    print(json.dumps(dict(load=load, seconds=seconds)))
