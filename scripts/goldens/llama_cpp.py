"""Converts the checkpoints of test/fixtures/families/ and encoders/ with llama.cpp's own convert_hf_to_gguf.py, and compares the files with
those that the other scripts wrote: names, types, shapes and values of all tensors, and keys but those of name and tokenizer.

python scripts/goldens/llama_cpp.py <folder of llama.cpp> [NAME ...]    # status 1 if tensors differ

The folder of llama.cpp is vendor/llama.cpp of the source distribution of llama-cpp-python 0.3.36. Its converter is called as it
is, but for what tiny checkpoints cannot have: a tokenizer whose hash it knows, of a kind that the family's published files
have, and configurations as long as theirs. A family whose file it does not write is said and left. Keys may differ where the
converter leaves out what llama.cpp has as a default, and where it writes a number of the published models.
"""

import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as DECODERS
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES as BASES

FIXTURES = Path(__file__).resolve().parents[2] / "test" / "fixtures"
FOLDERS = {path.name: path for folder in ("families", "encoders") for path in sorted((FIXTURES / folder).iterdir())}
# What published configurations say, and ours leave to their defaults.
SAID = {
    "cohere2": {"rotary_pct": 1.0},
    "hunyuan_v1_dense": {"max_position_embeddings": 32768},
    "hunyuan_v1_moe": {"max_position_embeddings": 32768},
    "eurobert": {"classifier_pooling": None},
    "nomic_bert": {
        "n_positions": 2048,
        "max_trained_positions": 2048,
        "activation_function": "swiglu",
        "causal": False,
        "qkv_proj_bias": False,
        "mlp_fc1_bias": False,
        "mlp_fc2_bias": False,
        "prenorm": False,
        "rotary_emb_base": 1000,
        "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": False,
        "rotary_emb_scale_base": None,
    },
}


def prepare(llama_cpp):
    """The converter's module, with tokenizers that are taken as byte-level BPE of GPT-2."""
    sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]
    import convert_hf_to_gguf
    from conversion import base

    base.TextModel.get_vocab_base_pre = lambda _self, _tokenizer: "gpt-2"
    AutoTokenizer.from_pretrained = PreTrainedTokenizerFast.from_pretrained
    load = base.ModelBase.load_hparams

    def with_what_is_said(folder, is_mistral_format):
        """Newer transformers moves fields of config.json to where the converter does not look."""
        return load(folder, is_mistral_format) | json.loads((folder / "config.json").read_text())

    base.ModelBase.load_hparams = staticmethod(with_what_is_said)
    find = convert_hf_to_gguf.get_model_class

    def with_bpe(*args, **kwargs):
        found = find(*args, **kwargs)
        found.set_vocab = lambda self: self._set_vocab_gpt2()
        return found

    convert_hf_to_gguf.get_model_class = with_bpe
    return convert_hf_to_gguf


def convert(converter, name, out):
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / name
        shutil.copytree(FOLDERS[name], folder)
        config = json.loads((folder / "config.json").read_text())
        classes = BASES if FOLDERS[name].parent.name == "encoders" else DECODERS
        config |= {"architectures": [classes[config["model_type"]]]} | SAID.get(name, {})
        (folder / "config.json").write_text(json.dumps(config))
        sys.argv = ["convert_hf_to_gguf.py", str(folder), "--outfile", str(out / f"{name}.gguf"), "--outtype", "f32"]
        converter.main()


def tensor_differences(ours, theirs):
    a, b = ({tensor.name: tensor for tensor in reader.tensors} for reader in (ours, theirs))
    found = [f"{name} is in one file" for name in sorted(a.keys() ^ b.keys())]
    for name in sorted(a.keys() & b.keys()):
        x, y = a[name], b[name]
        same = x.tensor_type == y.tensor_type and x.shape.tolist() == y.shape.tolist() and np.array_equal(x.data, y.data)
        found += [] if same else [f"{name} differs"]
    return found


def key_differences(ours, theirs):
    a, b = ({key: field.contents() for key, field in reader.fields.items()} for reader in (ours, theirs))
    keys = [key for key in sorted(a.keys() | b.keys()) if not key.startswith(("GGUF.", "general.", "tokenizer."))]
    return [f"{key}: {a.get(key)} here, {b.get(key)} there" for key in keys if a.get(key) != b.get(key)]


def compare(converter, name):
    """How many tensors differ; prints them, and keys."""
    import gguf  # the converter's own, which `prepare` has put before an installed one

    own = FOLDERS[name] / f"{name}.gguf"
    if not own.exists():
        print(f"{name}: has no GGUF file", flush=True)
        return 0
    with tempfile.TemporaryDirectory() as out:
        try:
            convert(converter, name, Path(out))
        except (Exception, SystemExit) as error:
            print(f"{name}: not converted, {type(error).__name__}: {str(error)[:200]}", flush=True)
            return 0
        readers = gguf.GGUFReader(own), gguf.GGUFReader(Path(out) / f"{name}.gguf")
        tensors, keys = tensor_differences(*readers), key_differences(*readers)
    print(f"{name}: {len(tensors)} tensors differ", *tensors, *keys, sep="\n  ", flush=True)
    return len(tensors)


def main():
    llama_cpp, *names = sys.argv[1:]
    converter = prepare(Path(llama_cpp))
    logging.disable(logging.WARNING)
    names = names or list(FOLDERS)
    return 1 if sum(compare(converter, name) for name in names) else 0


if __name__ == "__main__":
    sys.exit(main())
