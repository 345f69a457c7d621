"""config.json of well-known models: as published, and as this version of transformers saves it."""

import json
from pathlib import Path

from transformers import AutoConfig

PUBLISHED = Path(__file__).with_suffix(".json")


def saved(published):
    fields = dict(published)
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    return json.loads(config.to_json_string(use_diff=False))


def make(out):
    published = json.loads(PUBLISHED.read_text())
    rows = [
        f"{json.dumps(name)}: {json.dumps({'published': config, 'saved': saved(config)})}"
        for name, config in published.items()
    ]
    (out / "published-configs.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")
