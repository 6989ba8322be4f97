"""Valid files, damaged as disks, networks and hostile people damage them; the same generator, the same damage.

Each damage takes a generator and the content of a valid file, and returns other content.
"""

import io
import json
import zipfile
from collections.abc import Iterator

import numpy as np
import safetensors.torch
import torch

EXTREMES = (0, 1, 2**15, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
HALF = b'"\\ud800"'  # of a letter
WILD = (
    *(None, True, -1, 0, 2**62, 10**30, 1e308, float("nan"), "x" * 50_000, "", "\x1b[31m", "../secret", "/", "a\0b"),
    *([], {}, [[]], {"": {}}, [None] * 40, "HALF", "DEEP"),
)
TEXTS = (
    *(
        "",
        "nan",
        "-1",
        "1e999",
        "9" * 400,
        "0x1p3",
        "x" * 50_000,
        "../secret.wav",
        "/etc/passwd",
        "a\0b",
        "\x1b[31m",
        "ü",
    ),
    *('"', "'", ",", ";", "\t", "\\", "\r", "\n", "\ufeff", "=1+1", "None", "1_000", "²", "٣", " 1 ", "3.5", "-0.0"),
)
NOT_TOML = (
    *("nan", "-inf", "1e999", "0x" + "f" * 9000, "9" * 5000, "1979-05-27", "true", "'x'", "[" * 3000, "{}", "-1", "[]"),
    *('"\\u001b"', "[1, 'a']", "{a = {}}", "0.5", "100000000"),
)


def flip_bits(content: bytearray, rng: np.random.Generator) -> None:
    for place in rng.integers(len(content), size=rng.integers(1, 9)):
        content[place] ^= 1 << int(rng.integers(8))


def set_bytes(content: bytearray, rng: np.random.Generator) -> None:
    place, count = int(rng.integers(len(content))), int(rng.integers(1, 17))
    content[place : place + count] = bytes([int(rng.choice([0, 1, 255]))]) * len(content[place : place + count])


def set_number(content: bytearray, rng: np.random.Generator) -> None:
    """A size, a count or an address, as most formats hold them: 2, 4 or 8 bytes, little-endian."""
    width = int(rng.choice([2, 4, 8]))
    value = EXTREMES[rng.integers(len(EXTREMES))] % 256**width
    place = int(rng.integers(max(1, len(content) - width)))
    content[place : place + width] = value.to_bytes(width, "little")


def truncate(content: bytearray, rng: np.random.Generator) -> None:
    del content[int(rng.integers(len(content))) :]


def swap_blocks(content: bytearray, rng: np.random.Generator) -> None:
    size = int(rng.integers(1, 1 + max(1, min(512, len(content) // 2))))
    a, b = (int(place) for place in rng.integers(max(1, len(content) - size), size=2))
    content[a : a + size], content[b : b + size] = content[b : b + size], content[a : a + size]


def insert(content: bytearray, rng: np.random.Generator) -> None:
    place = int(rng.integers(len(content)))
    content[place:place] = rng.bytes(int(rng.integers(1, 65)))


MUTATIONS = (flip_bits, set_bytes, set_number, swap_blocks, insert, truncate)


def in_bytes(rng: np.random.Generator, whole: bytes) -> bytes:
    """One or two of the above."""
    content = bytearray(whole)
    for mutation in rng.choice(len(MUTATIONS), size=rng.integers(1, 3)):
        if content:
            MUTATIONS[mutation](content, rng)
    return bytes(content)


def places_in(value: object) -> Iterator[tuple]:
    """(container, key) of everything in a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(inside):
        yield value, key
        yield from places_in(inner)


def in_json(rng: np.random.Generator, whole: bytes) -> bytes:
    """A value of another kind, a name that is missing, or another name."""
    content = [json.loads(whole)]  # so that the whole can be replaced too
    places = list(places_in(content))
    container, key = places[rng.integers(len(places))]
    kind = rng.integers(6)
    if kind == 0 and isinstance(container, dict):
        del container[key]
    elif kind == 1 and isinstance(container, dict):
        container["another"] = container.pop(key)
    else:
        container[key] = WILD[rng.integers(len(WILD))]
    text = json.dumps(content[0]) if content else ""
    return text.encode().replace(b'"HALF"', HALF).replace(b'"DEEP"', b"[" * 5000 + b"]" * 5000)


def in_lines(rng: np.random.Generator, whole: bytes) -> bytes:
    lines = whole.splitlines()
    i = rng.integers(len(lines))
    lines[i] = in_json(rng, lines[i])
    return b"\n".join(lines)


def in_toml(rng: np.random.Generator, whole: bytes) -> bytes:
    lines = whole.decode().splitlines()
    i = rng.integers(len(lines))
    lines[i] = f"{lines[i].split('=')[0]}= {NOT_TOML[rng.integers(len(NOT_TOML))]}"
    return "\n".join(lines).encode()


def in_table(rng: np.random.Generator, whole: bytes) -> bytes:
    """Of commas: another cell, a row or a column that is missing or twice, a part that is moved, another separator."""
    rows = [line.split(",") for line in whole.decode().split("\n")]
    i, kind = int(rng.integers(len(rows))), rng.integers(8)
    j = int(rng.integers(len(rows[i])))
    if kind == 0:
        rows = [row[:j] + row[j + 1 :] for row in rows]
    elif kind == 1:
        rows = [row[:j] + row[j : j + 1] + row[j:] for row in rows]
    elif kind == 2:
        rows[i:i] = rows[i : i + 2]
    elif kind == 3:
        rows[i] = rows[i][:j] if rng.integers(2) else rows[i] + rows[0]
    elif kind == 4:
        del rows[i : i + int(rng.integers(1, len(rows) + 1))]
    else:
        rows[i][j] = TEXTS[rng.integers(len(TEXTS))]
    separator = ";\t|"[rng.integers(3)] if kind == 5 else ","
    return "\n".join(separator.join(row) for row in rows).encode()


def in_arrays(rng: np.random.Generator, whole: bytes) -> bytes:
    """One array of an npz of another type, shape or range, left out, as a pickle, compressed, or said to be huge."""
    with np.load(io.BytesIO(whole)) as stored:
        arrays = dict(stored)
    name = sorted(arrays)[rng.integers(len(arrays))]
    values, save, out = arrays[name], np.savez, io.BytesIO()
    kind = rng.integers(10)
    number = values.dtype.kind in "fiu"
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[name] = values.astype(object)
    elif kind == 2:
        save = np.savez_compressed
    elif kind == 3:
        arrays[name] = values[: len(values) // 2]
    elif kind == 4:
        arrays[name] = values[None] if rng.integers(2) else np.array(0.0)
    elif kind == 5:
        arrays[name] = values.astype("f8") if number else np.zeros(len(values))
    elif kind == 6:
        arrays[name] = values.astype(str)
    elif kind == 7 and number and values.size:
        wild = np.array([2**62, -(2**62), 127, -1])[rng.integers(4)]
        arrays[name] = values.copy()
        arrays[name].flat[rng.integers(values.size)] = np.nan if values.dtype.kind == "f" else wild.astype(values.dtype)
    elif kind == 8 and not number:
        arrays[name] = np.full(len(values), (0x7FFFFFFF, 0xD800, 27)[rng.integers(3)], np.uint32).view("<U1")
    save(out, **arrays)
    return out.getvalue().replace(b"'shape': (", b"'shape': (9999999999,") if kind == 9 else out.getvalue()


def in_tensors(rng: np.random.Generator, whole: bytes) -> bytes:
    tensors = safetensors.torch.load(whole)
    name = sorted(tensors)[rng.integers(len(tensors))]
    value, kind = tensors.pop(name), rng.integers(6)
    if kind:
        wild = (value.double(), value[None].contiguous(), torch.full_like(value, -1), value.to(torch.int32))
        bad = torch.full_like(value, float("nan")) if value.is_floating_point() else value[None]
        tensors[name] = (*wild, bad)[kind - 1]
    return safetensors.torch.save(tensors)


def in_archive(rng: np.random.Generator, whole: bytes) -> bytes:
    """A member of a zip under a name that leads out of it or is none, damaged, twice, or much larger."""
    out = io.BytesIO()
    names = ("../secret.wav", "/secret.wav", "C:\\a.wav", "\x1b[31m.wav", "x" * 3000 + ".wav", "a/", "..", "ü.wav")
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        chosen = rng.integers(len(old.namelist()))
        for i, member in enumerate(old.infolist()):
            content, name = old.read(member), member.filename
            if i == chosen:
                kind = rng.integers(4)
                content = (content, in_bytes(rng, content), bytes(200_000), b"")[kind]
                name = names[rng.integers(len(names))] if kind == 0 else name
            new.writestr(name, content)
    made = out.getvalue()
    return made.replace(b"clip0.wav", b"\0lip0.wav") if rng.integers(8) == 0 else made


def in_python(rng: np.random.Generator, whole: bytes) -> bytes:
    """Of lists in Python: something that would run."""
    wild = (
        b"__import__('os').system('echo')",
        b"[" * 3000,
        b"f()",
        b"{1: 2}",
        b"-" * 5000 + b"1",
        b"'x' * 10**9",
        b"\0",
    )
    lines = whole.splitlines()
    i = rng.integers(len(lines))
    lines[i] = lines[i].split(b"=")[0] + b"= " + wild[rng.integers(len(wild))]
    return b"\n".join(lines)


def in_pickle(rng: np.random.Generator, whole: bytes) -> bytes:
    """A name that would run."""
    names = (b"_reconstruct", b"ndarray", b"dtype", b"numpy", b"numpy._core.multiarray", b"O8", b"f4")
    old = names[rng.integers(len(names))]
    new = (b"system", b"eval", b"O8", b"V8", b"", b"os", b"builtins")[rng.integers(7)]
    return whole.replace(old, new.ljust(len(old), b" ")[: len(old)] if rng.integers(2) else new)
