"""What the Python drivers share: one JSON request a line on stdin, one JSON answer a line on stdout.

A request is {"prompts": [[id, ...], ...], "newTokens": n}. The answer is {"firstTokenSeconds", "decodeSeconds"}: until
every sequence had its first token, and from there until the last had its n tokens. An exception is {"error"}.
"""

import json
import os
import sys
from collections.abc import Callable

Generate = Callable[[list[list[int]], int], tuple[float, float]]


def serve(load: Callable[[], Generate]) -> None:
    """Loads, says so, answers until stdin ends. What libraries print to stdout goes to stderr instead."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value: dict) -> None:
        print(json.dumps(value), file=answers, flush=True)

    try:
        generate = load()
        answer({"ready": True})
    except Exception as error:  # noqa: BLE001 - the parent reports whatever it is
        answer({"error": f"{type(error).__name__}: {error}"})
        return
    for line in sys.stdin:
        request = json.loads(line)
        try:
            first, decode = generate(request["prompts"], request["newTokens"])
            answer({"firstTokenSeconds": first, "decodeSeconds": decode})
        except Exception as error:  # noqa: BLE001
            answer({"error": f"{type(error).__name__}: {error}"})
