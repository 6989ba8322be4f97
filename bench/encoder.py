"""How fast a speech encoder turns sound into frames, and in how much memory, beside the plain way in the same run.

    python bench/encoder.py                           some minutes: clips, then an hour of sound in one file
    python bench/encoder.py --encoder NAME:LAYER      of a model that is here
    python bench/encoder.py --hours 10 --device cuda

Without a name it takes the shape of Whisper's smallest encoder with random weights, which make no difference to the
time. The sound is made up too: tones that swell and fade three times a second over noise.

`emo-ssl` is the whole command `corpus record` with one process, writing included. The plain way is what one writes
first: the model of transformers on every clip, made as long as its own feature extractor makes it, 30 s for Whisper; of
a long file, on one piece of 30 s after the other, the frames kept in a list. Each measurement is a process of its own,
on one thread, so that its peak memory is its own; its start and the loading of the model are not counted. Where other
programs run, look at the seconds of sound in a second of processor time.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

RATE, CLIP, PIECE = 16_000, 4, 30  # Hz, seconds of a clip, seconds that Whisper insists on
COLUMNS = "{:<12}{:<10}{:>18}{:>24}{:>16}"


def swelling(seconds: int, seed: int) -> np.ndarray:
    """(n,) float32."""
    at = np.arange(seconds * RATE, dtype=np.float32) / RATE
    tones = np.sin(2 * np.pi * 220 * at) + np.sin(2 * np.pi * 660 * at)
    noise = np.random.default_rng(seed).standard_normal(len(at), np.float32)
    return (0.05 * (1 + np.sin(6 * np.pi * at)) * (tones + 0.3 * noise)).astype(np.float32)


def write_sound(folder: Path, minutes: list[float]) -> Path:
    """A file of so many minutes each, and the table that `corpus record` wants."""
    import soundfile

    folder.mkdir()
    for number, length in enumerate(minutes):
        with soundfile.SoundFile(folder / f"{number}.wav", "w", RATE, 1) as stream:
            for begin in range(0, round(60 * length), 60):
                stream.write(swelling(min(60, round(60 * length) - begin), number + begin))
    lines = "".join(f"{number}.wav,{number},1\n" for number in range(len(minutes)))
    (folder / "labels.csv").write_text(f"path,speaker,happy\n{lines}")
    return folder


def random_encoder(folder: Path) -> None:
    import torch
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    torch.manual_seed(0)
    WhisperEncoder(WhisperConfig()).save_pretrained(folder)


def ours(source: Path, encoder: str, device: str) -> Callable[[], None]:
    from emo_ssl.corpora.front_ends import front_end
    from emo_ssl.corpora.recordings import record

    maker = front_end(encoder, device)
    output = source.parent / f"corpus-{source.name}"
    return lambda: record(source, output, "folder", source / "labels.csv", maker, 1, device=device)


def plain(source: Path, encoder: str, device: str) -> Callable[[], None]:
    import soundfile
    import torch
    from transformers import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

    from emo_ssl.corpora import encoders
    from emo_ssl.corpora.front_ends import front_end

    about = front_end(encoder).about
    network = encoders.loaded(about["speech_encoder"]["folder"], device)  # for the model of transformers inside it
    whisper, layer = network.family == "whisper", about["layers"][-1]
    model = network.encoder if whisper else network.model
    extractor = WhisperFeatureExtractor(model.num_mel_bins) if whisper else Wav2Vec2FeatureExtractor()

    def work() -> None:
        frames = []
        for file in sorted(source.glob("*.wav")):
            sound, rate = soundfile.read(file, dtype="float32")
            for begin in range(0, len(sound), PIECE * rate):
                piece = sound[begin : begin + PIECE * rate]
                given = extractor(piece, sampling_rate=rate, return_tensors="pt")
                with torch.inference_mode():
                    made = model(next(iter(given.values())).to(device), output_hidden_states=True)
                frames.append(
                    made.hidden_states[layer][0, : round(len(piece) / rate * network.frame_rate)].cpu().numpy()
                )
        np.save(source.parent / "plain.npy", np.concatenate(frames))

    return work


def measure(way: Callable, source: Path, encoder: str, device: str) -> tuple[float, float, float]:
    """Seconds, processor seconds, and the peak of the memory in MB, of a process that did nothing else."""
    import torch

    torch.set_num_threads(1)
    work = way(source, encoder, device)
    wall, processor = time.perf_counter(), time.process_time()
    work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return wall, processor, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def alone(function: Callable, *arguments: object) -> object:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", help="NAME:LAYER, as of emo-ssl corpus record --front-end")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--hours", type=float, default=1.0, help="length of the long file (default: 1)")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    clips = [CLIP / 60] * options.clips
    kinds = {f"{options.clips} clips": clips, f"{options.hours:g} h": [60 * options.hours, *clips[:2]]}
    with tempfile.TemporaryDirectory() as folder:
        place, encoder = Path(folder), options.encoder
        if not encoder:
            alone(random_encoder, place / "random")
            encoder = f"{place / 'random'}:2"
        print(COLUMNS.format("sound", "way", "times real time", "a second of processor", "peak memory, MB"))
        for kind, minutes in kinds.items():
            source, seconds, rows = write_sound(place / kind, minutes), 60 * sum(minutes), {}
            for name, way in {"emo-ssl": ours, "plain": plain}.items():
                wall, processor, memory = alone(measure, way, source, encoder, options.device)
                rows[name] = (seconds / wall, seconds / processor, memory)
                print(COLUMNS.format(kind, name, *(f"{value:,.0f}" for value in rows[name])), flush=True)
            ratios = [a / b for a, b in zip(*rows.values(), strict=True)]
            print(COLUMNS.format(kind, "ratio", *(f"{ratio:.2f}" for ratio in ratios)), flush=True)


if __name__ == "__main__":
    main()
