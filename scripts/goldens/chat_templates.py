"""Renders chat templates and snippets of the template language with transformers' own function, for the tests to compare.

usage: chat_templates.py templates FOLDER CONVERSATIONS.json OUT.json
       chat_templates.py snippets SNIPPETS.json   (writes what each prints into the same file)

A template or snippet that the reference refuses has {"error": ...}. The clock stands still, so that dates compare.
"""

import json
import sys
from datetime import datetime
from pathlib import Path

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

CLOCK = datetime(2026, 7, 4, 15, 7, 9, 123000)


class StoppedClock(datetime):
    @classmethod
    def now(cls, tz=None):
        return CLOCK


chat_template_utils.datetime = StoppedClock


def tokenizer() -> PreTrainedTokenizerFast:
    model = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "<unk>": 2}, unk_token="<unk>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=model, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )


def outcome(render) -> dict:
    try:
        return {"text": render()}
    except Exception as error:  # whatever a template raises is its refusal
        return {"error": type(error).__name__}


def render_templates(folder: Path, conversations: dict) -> dict:
    reference = tokenizer()
    results = {}
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_bytes().decode("utf-8")
        results[path.name] = {
            name: outcome(
                lambda: reference.apply_chat_template(
                    one["messages"],
                    tools=one.get("tools"),
                    documents=one.get("documents"),
                    chat_template=source,
                    tokenize=False,
                    add_generation_prompt=one.get("addGenerationPrompt", True),
                    **one.get("variables", {}),
                )
            )
            for name, one in conversations.items()
        }
    return results


def render_snippets(snippets: list) -> list:
    return [
        {
            "name": one["name"],
            "template": one["template"],
            **({"values": one["values"]} if "values" in one else {}),
            **outcome(
                lambda: chat_template_utils._compile_jinja_template(one["template"]).render(**one.get("values", {}))
            ),
        }
        for one in snippets
    ]


def main() -> None:
    if sys.argv[1] == "templates":
        conversations = json.loads(Path(sys.argv[3]).read_text(encoding="utf-8"))
        results = render_templates(Path(sys.argv[2]), conversations)
        Path(sys.argv[4]).write_text(json.dumps(results, ensure_ascii=False, indent=1), encoding="utf-8")
        return
    path = Path(sys.argv[2])
    results = render_snippets(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
