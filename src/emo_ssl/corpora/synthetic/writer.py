"""One made-up video after another goes to disk, in the real corpus's own file format, with a summary of the truth.

geometry.py lays out segments, labels.py draws emotions and labels, frames.py fills them, defects.py damages.
The generator knows nothing of any model: no span, no stacking, no width. Readers find its account
in notebooks/00b-made-up-voices.ipynb.
"""

import base64
import hashlib
import math
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from emo_ssl.core.metrics import auroc
from emo_ssl.corpora.covarep import FEATURE_NAMES
from emo_ssl.corpora.csd import EMOTIONS, LABEL_NAMES, csd_writer
from emo_ssl.corpora.synthetic.defects import TYPO_ROOT, Video, plan, plant
from emo_ssl.corpora.synthetic.frames import WIDTH, Stretches, make_frames
from emo_ssl.corpora.synthetic.geometry import FRAME_RATE, draw_geometry, territories
from emo_ssl.corpora.synthetic.labels import RATINGS, draw_labels, draw_latents, oracle_auroc
from emo_ssl.corpora.synthetic.scenarios import GENERATOR, SynthConfig
from emo_ssl.utils.io import OutputFolder, read_json, require_space, write_json
from emo_ssl.utils.progress import Progress

SUMMARY = "synthetic.json"
FOLD_SIZES = {"train": 2249, "valid": 300, "test": 678, None: 68}  # videos of CMU-MOSEI; the last are in none
BYTES_PER_FRAME = 4 * WIDTH + 16


def stream(config: SynthConfig, index: int, purpose: str) -> np.random.Generator:
    """Random numbers of one video for one purpose: the same in every scenario, and however many videos there are."""
    number = ("geometry", "latents", "nuisance", "labels", "frames", "defect").index(purpose)
    return np.random.default_rng([config.seed, index, number])


def video_id(seed: int, index: int) -> str:
    """As in the real files: mostly eleven letters, some of them after a leading dash, now and then a plain number."""
    if index % 8 == 5:
        return str(100_000 + index)
    letters = base64.urlsafe_b64encode(hashlib.sha256(f"{seed}/{index}".encode()).digest()).decode()
    return f"-{letters[:10]}" if index % 16 == 3 else letters[:11]


def fold_of(index: int) -> str | None:
    """Steps of the golden ratio around a circle cut in the proportions of the real folds.

    Every prefix of the videos is split in nearly these proportions, and a video stays in its fold when others join.
    """
    place = (0.42 + index * (math.sqrt(5) - 1) / 2) % 1 * sum(FOLD_SIZES.values())
    for fold in (None, "valid", "test"):
        if place < FOLD_SIZES[fold]:
            return fold
        place -= FOLD_SIZES[fold]
    return "train"


def make_video(config: SynthConfig, index: int) -> tuple[Video, np.ndarray]:
    """One video, damaged if its turn has come, and the latent emotions (n, 6) of the segments it was made with."""
    scenario, split = config.knobs, fold_of(index)
    geometry_rng, label_rng = stream(config, index, "geometry"), stream(config, index, "labels")
    geometry = draw_geometry(geometry_rng)
    edges, owner = territories(geometry_rng, geometry)
    latents, nuisance = (draw_latents(stream(config, index, w), len(edges) - 1) for w in ("latents", "nuisance"))
    shift = scenario.channel_shift if split in ("valid", "test") else 0.0
    rows = np.arange(len(owner)) if config.clean else geometry.rows
    clock = np.arange(geometry.frames + 1) / FRAME_RATE
    video = Video(
        id=video_id(config.seed, index),
        split=split,
        features=make_frames(stream(config, index, "frames"), Stretches(edges, latents, nuisance), scenario, shift),
        times=np.stack([clock[:-1], clock[1:]], 1),
        intervals=np.stack([geometry.starts, geometry.ends], 1)[rows],
        labels=draw_labels(label_rng, latents[owner], RATINGS[scenario.rating])[rows],
        meant=np.ones(len(rows), bool),
    )
    kind = None if config.clean else plan(config.seed, index)
    if kind:
        tail = draw_labels(label_rng, latents[-1:], RATINGS[scenario.rating])[0]
        plant(kind, video, stream(config, index, "defect"), tail)
    if video.intervals is not None and (np.diff(video.intervals[:, 0]) < 0).any():
        video.planted["unsorted label rows"] = 1
    return video, latents[owner][rows]


def write_corpus(folder: Path | str, config: SynthConfig) -> dict:
    """COVAREP.csd, LABELS.csd, folds.json and the summary synthetic.json in `folder`; returns the summary.

    Two runs with one configuration write the same bytes. Memory holds one video at a time.
    """
    setting = {"generator": GENERATOR, **asdict(config), "knobs": asdict(config.knobs)}
    with OutputFolder(folder, "synthetic corpus", setting) as out:
        if not out.complete:
            frames = sum(draw_geometry(stream(config, i, "geometry")).frames for i in range(config.videos))
            require_space(out.path, int(1.02 * frames * BYTES_PER_FRAME) + 10_000_000)
            write_files(out.path, config, setting, frames)
            out.finish()
    return read_json(Path(folder) / SUMMARY)


def write_files(folder: Path, config: SynthConfig, setting: dict, frames: int) -> None:
    folds: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    counts, planted, planted_in = Counter(videos=config.videos), Counter(), defaultdict(list)
    latents, present = [], []  # of segments whose labels belong to their frames
    metadata = {"corpus": f"synthetic, scenario {config.scenario}, seed {config.seed}", "generator": setting}
    about = "synthetic acoustic features in the order of COVAREP, not measured from any voice"
    about_labels = "synthetic sentiment and emotion intensities, not given by any person"
    if not config.clean:
        planted["typo root"] = 1
    root = TYPO_ROOT if planted else "COVAREP"
    with (
        csd_writer(folder / "COVAREP.csd", root, FEATURE_NAMES, about, metadata=metadata) as add_frames,
        csd_writer(folder / "LABELS.csd", "All Labels", LABEL_NAMES, about_labels, metadata=metadata) as add_labels,
        Progress("making up voices", frames, "frames") as bar,
    ):
        for index in range(config.videos):
            video, hidden = make_video(config, index)
            if video.features is not None:
                add_frames(video.id, video.features, video.times)
                counts["frames"] += len(video.features)
            if video.labels is not None:
                add_labels(video.id, video.labels.astype(np.float32), video.intervals)
                counts["label rows"] += len(video.labels)
                meant = np.flatnonzero(video.meant)  # rows that defects added come after those that have latents
                latents.append(hidden[meant])
                present.append(video.labels[meant, 1:] > 0)
            if video.split:
                folds[video.split] += [video.id] + ([video.extra_fold_id] if video.extra_fold_id else [])
            planted.update(video.planted)
            for kind in video.planted:
                planted_in[kind].append(video.id)
            bar.advance(len(video.times))
    write_json(folder / "folds.json", folds)
    truth = oracle(config, np.concatenate(latents), np.concatenate(present))
    found = {"planted": dict(sorted(planted.items())), "planted_in": dict(sorted(planted_in.items()))}
    write_json(folder / SUMMARY, {**setting, "counts": dict(counts), **truth, **found})


def oracle(config: SynthConfig, latents: np.ndarray, present: np.ndarray) -> dict:
    """Share of positives and AUROC of someone who knows the latents (N, 6), for what is present (N, 6)."""
    expected = oracle_auroc(RATINGS[config.knobs.rating])
    if not config.knobs.carries_emotion:  # one answer for all
        latents, expected = np.zeros_like(latents), dict.fromkeys(EMOTIONS, 0.5)
    realised = [auroc(latents[:, e], present[:, e]) for e in range(len(EMOTIONS))]
    return {
        "positive_share": {name: round(float(present[:, e].mean()), 4) for e, name in enumerate(EMOTIONS)},
        "oracle_auroc": {
            name: {"expected": round(expected[name], 4), "realised": None if math.isnan(r) else round(r, 4)}
            for name, r in zip(EMOTIONS, realised, strict=True)
        },
    }


def describe(summary: dict) -> str:
    """The summary as lines for a terminal."""
    counts, planted = summary["counts"], pd.Series(summary["planted"], name="planted defects")
    oracle = pd.DataFrame(summary["oracle_auroc"]).T.astype(float).assign(positive=summary["positive_share"])
    return (
        f"synthetic corpus, scenario {summary['scenario']}, seed {summary['seed']}: {counts['videos']:,} videos, "
        f"{counts['label rows']:,} labelled segments, {counts['frames']:,} frames\n\n"
        "What someone who knows the hidden emotions would reach (AUROC of presence), and the share of positives:\n"
        f"{oracle.round(3).to_string(na_rep='--')}\n\n"
        f"{planted.to_frame().to_string() if len(planted) else 'No planted defects.'}"
    )
