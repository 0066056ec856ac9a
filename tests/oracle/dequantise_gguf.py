"""Writes a GGUF file again with every tensor in f32: dequantise_gguf.py MODEL.gguf OUT.gguf

llama.cpp then computes in f32 too, instead of with 8-bit activations, and can be held against
transformers closely.
"""

import sys

import gguf


def main() -> None:
    source, out = sys.argv[1:]
    reader = gguf.GGUFReader(source)
    architecture = reader.get_field("general.architecture").contents()
    writer = gguf.GGUFWriter(out, architecture)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        item = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, sub_type=item)
    # The metadata first: one dequantised tensor at a time is held in memory.
    for tensor in reader.tensors:
        shape = [int(n) for n in reversed(tensor.shape)]
        writer.add_tensor_info(tensor.name, shape, "float32", 4 * int(tensor.n_elements),
                               gguf.GGMLQuantizationType.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in reader.tensors:
        writer.write_tensor_data(gguf.quants.dequantize(tensor.data, tensor.tensor_type))
    writer.close()


if __name__ == "__main__":
    main()
