"""How fast a speech encoder turns sound into frames, and how much memory it takes for a long file.

    python bench/encoder.py --encoder FOLDER           some seconds of made-up sound: clips, then a long file
    python bench/encoder.py --encoder NAME:all --files CLIPS --hours 2 --device cuda

Each measurement is a process of its own, so that its peak memory is its own; the time to start and to load the model is
not counted. `times_real_time` is seconds of sound in a second of one process, `a_core` in one of processor time: where
other programs run, the latter says more. Without an encoder on this computer nothing is measured.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

MEASURE = """
import json, resource, sys, time
from pathlib import Path
from emo_ssl.corpora import audio
from emo_ssl.corpora.front_ends import front_end, stretches
maker = front_end(sys.argv[1], sys.argv[2])
files = [Path(name) for name in sys.argv[3:]]
signal, rate = next(audio.pieces(files[0], 3))
maker.frames(signal, rate)  # warms up, on a GPU above all
wall, processor, frames = time.perf_counter(), time.process_time(), 0
for file in files:
    for piece, _, _ in stretches(file, maker):
        frames += len(piece)
sound, wall, processor = frames / maker.frame_rate, time.perf_counter() - wall, time.process_time() - processor
print(json.dumps({
    "seconds_of_frames": round(sound), "times_real_time": round(sound / wall, 1), "a_core": round(sound / processor, 1),
    "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
}))
"""


def made_up(folder: Path, clips: int, hours: float) -> tuple[list[Path], Path]:
    """Noise that swells three times a second: what is said makes no difference to the time."""
    import soundfile

    random, rate = np.random.default_rng(0), 16_000

    def swelling(seconds: int) -> np.ndarray:
        swell = 1 + np.sin(6 * np.pi * np.arange(seconds * rate, dtype=np.float32) / rate)
        return (0.05 * swell * random.standard_normal(seconds * rate, np.float32)).astype(np.float32)

    files = [folder / f"{number}.wav" for number in range(clips)]
    for file in files:
        soundfile.write(file, swelling(4), rate)
    with soundfile.SoundFile(folder / "long.wav", "w", rate, 1) as stream:
        for _ in range(round(60 * hours)):
            stream.write(swelling(60))
    return files, folder / "long.wav"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", help="NAME[:LAYER,…], as of emo-ssl corpus record --front-end")
    parser.add_argument("--files", type=Path, help="a folder of clips instead of made-up ones")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--hours", type=float, default=0.5, help="length of the long file (default: 0.5)")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if not options.encoder:
        print(json.dumps({"not_measured": "name a speech encoder that is here: --encoder NAME"}))
        return
    with tempfile.TemporaryDirectory() as folder:
        clips, long = made_up(Path(folder), options.clips, options.hours)
        if options.files:
            clips = sorted(path for path in options.files.rglob("*") if path.is_file())[: options.clips]
        for what, files in (("clips", clips), ("a long file", [long])):
            command = [sys.executable, "-c", MEASURE, options.encoder, options.device, *map(str, files)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            print(json.dumps({"what": what, "encoder": options.encoder, **json.loads(done.stdout)}), flush=True)


if __name__ == "__main__":
    main()
