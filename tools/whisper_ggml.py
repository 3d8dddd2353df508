"""Writes OpenAI's Whisper checkpoints as whisper.cpp's ggml files, in 8 bits (q8_0).

    whisper_ggml.py CHECKPOINT.pt MEL_FILTERS.npz VOCABULARY.tiktoken OUT.bin

The result is, byte for byte, the q8_0 file that the whisper.cpp project publishes. It needs numpy
and no torch: a checkpoint is a zip of raw tensors beside a pickle that says how they lie.

A ggml file, all integers little-endian 32 bit:

    magic, 11 dimensions of the model, the last one the type of its tensors
    mel filters: rows, columns, values
    vocabulary: count, then length and bytes of each token
    tensors: rank, length of the name, type, the shape from the innermost axis out, name, values
"""

import base64
import collections
import io
import pickle
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

MAGIC = 0x67676D6C

# The header's dimensions in their order, as the checkpoint names them.
DIMENSIONS = (
    "n_vocab",
    "n_audio_ctx",
    "n_audio_state",
    "n_audio_head",
    "n_audio_layer",
    "n_text_ctx",
    "n_text_state",
    "n_text_head",
    "n_text_layer",
    "n_mels",
)

# ggml's numbers of tensor types.
F32, F16, Q8_0 = 0, 1, 8

# The header's number of a file whose matrices are Q8_0: the type of file (7) and the version of the
# quantised layout (2), which is kept in the thousands.
Q8_0_FILE = 2007

# Q8_0 shares one scale among so many values.
BLOCK = 32

# The first vocabulary of models that know more than English is this long.
MULTILINGUAL_VOCABULARY = 51865

# What the encoder adds to, value by value: kept in 32 bits, as whisper.cpp reads it.
KEPT_WHOLE = {
    "encoder.conv1.bias",
    "encoder.conv2.bias",
    "encoder.positional_embedding",
    "decoder.positional_embedding",
}


def main():
    checkpoint, mel_filters, vocabulary, out = map(Path, sys.argv[1:])
    dimensions, tensors = read_checkpoint(checkpoint)
    with out.open("wb") as file:
        write_header(file, dimensions)
        write_mel_filters(file, mel_filters, dimensions["n_mels"])
        write_vocabulary(file, vocabulary, dimensions["n_vocab"])
        for name, values in tensors.items():
            write_tensor(file, name, values)


def read_checkpoint(path):
    """The dimensions of a model and its tensors by name, in the order of the checkpoint."""
    archive = zipfile.ZipFile(path)
    pickled = next(name for name in archive.namelist() if name.endswith("data.pkl"))
    folder = pickled.removesuffix("data.pkl")
    model = TensorUnpickler(archive, folder, io.BytesIO(archive.read(pickled))).load()
    return model["dims"], model["model_state_dict"]


class TensorUnpickler(pickle.Unpickler):
    """Reads a checkpoint's pickle and makes nothing but arrays: no other name in it is obeyed."""

    STORAGES = {"HalfStorage": np.float16, "FloatStorage": np.float32, "LongStorage": np.int64}

    def __init__(self, archive, folder, file):
        super().__init__(file)
        self.archive = archive
        self.folder = folder

    def find_class(self, module, name):
        if name == "_rebuild_tensor_v2":
            return rebuild_tensor
        if name == "OrderedDict":
            return collections.OrderedDict
        if name in self.STORAGES:
            return self.STORAGES[name]
        raise pickle.UnpicklingError(f"a checkpoint has no use for {module}.{name}")

    def persistent_load(self, reference):
        _, dtype, key, _, _ = reference
        return np.frombuffer(self.archive.read(f"{self.folder}data/{key}"), dtype)


def rebuild_tensor(storage, offset, shape, strides, *_):
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps)


def write_header(file, dimensions):
    file.write(struct.pack("<i", MAGIC))
    file.write(struct.pack("<10i", *(dimensions[name] for name in DIMENSIONS)))
    file.write(struct.pack("<i", Q8_0_FILE))


def write_mel_filters(file, path, mels):
    # Adding zero turns the -0.0 among them into 0.0, which the published files hold.
    filters = np.load(path)[f"mel_{mels}"].astype(np.float32) + np.float32(0)
    file.write(struct.pack("<2i", *filters.shape))
    file.write(filters.tobytes())


def write_vocabulary(file, path, n_vocab):
    lines = (line.split() for line in path.read_bytes().splitlines() if line)
    tokens = [base64.b64decode(token) for token, _ in lines]
    if n_vocab < MULTILINGUAL_VOCABULARY:
        # The English models were published with GPT-2's list, which counts its end mark as a word.
        tokens.append(b"<|endoftext|>")
    file.write(struct.pack("<i", len(tokens)))
    for token in tokens:
        file.write(struct.pack("<i", len(token)) + token)


def write_tensor(file, name, values):
    if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
        values = values.reshape(-1, 1)  # a column, to be added to each frame
    if values.ndim < 2 or name in KEPT_WHOLE:
        kind, raw = F32, values.astype(np.float32).tobytes()
    elif values.ndim == 2:
        kind, raw = Q8_0, quantise(values.astype(np.float16).astype(np.float32))
    else:
        kind, raw = F16, values.astype(np.float16).tobytes()
    encoded = name.encode()
    file.write(struct.pack("<3i", values.ndim, len(encoded), kind))
    file.write(struct.pack(f"<{values.ndim}i", *reversed(values.shape)))
    file.write(encoded + raw)


def quantise(values):
    """Each 32 values as a 16-bit scale and 32 signed bytes, rounded half away from zero.

    Each step is done in the width that ggml does it in: a difference in the last bit of a scale
    would show in the file.
    """
    blocks = values.reshape(-1, BLOCK)
    scale = np.abs(blocks).max(axis=1) / np.float32(127)
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)
    scaled = blocks * inverse[:, None]
    rounded = np.sign(scaled) * np.floor(np.abs(scaled) + np.float32(0.5))
    scale_bytes = scale.astype(np.float16).view(np.uint8).reshape(-1, 2)
    return np.concatenate([scale_bytes, rounded.astype(np.int8).view(np.uint8)], axis=1).tobytes()


if __name__ == "__main__":
    main()
