"""Valid files, damaged as disks, networks and hostile people damage them; the same seed, the same files."""

from collections.abc import Iterator

import numpy as np

EXTREMES = (0, 1, 2**15, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)


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


def mutants(samples: list[bytes], seed: int, count: int) -> Iterator[bytes]:
    """`count` files out of the samples in turn, each damaged once or twice."""
    for case in range(count):
        rng = np.random.default_rng([seed, case])
        content = bytearray(samples[case % len(samples)])
        for mutation in rng.choice(len(MUTATIONS), size=rng.integers(1, 3)):
            if content:
                MUTATIONS[mutation](content, rng)
        yield bytes(content)
