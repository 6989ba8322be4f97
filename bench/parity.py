"""Utterance statistics and a logistic regression on RAVDESS, beside what a prototype reached on the same split.

The prototype is another program by another hand, so agreement within .02 says that the corpus, its labels, its speakers
and the measure are read as they should be. Actors 19 to 24 are tested, 1 to 18 train; 65 ComParE descriptors of whole
clips (`emo-ssl corpus record … --front-end compare --keep-silence`); seven categories; plain random clips.

    python bench/parity.py SEGMENTS [--keep results/ravdess/parity.csv]
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from emo_ssl.core import metrics
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.normalise import speaker_independent
from emo_ssl.study.vectors import segment_statistics, statistics
from emo_ssl.utils.io import atomic_path

EXPECTED = {  # UAR of the prototype, the mean of three to six subsets
    "speaker-independent": {28: 0.247, 70: 0.358, 140: 0.416, 280: 0.463, 1080: 0.534},
    "standardised by speaker": {28: 0.317, 70: 0.397, 140: 0.468, 280: 0.518, 1080: 0.602},
}
TOLERANCE = 0.02
TESTED = {f"actor-{n:02}" for n in range(19, 25)}
SUBSETS = 30
STRENGTH = 0.1  # of the regression: the inverse of the penalty


def standardised(table: np.ndarray, of: np.ndarray) -> np.ndarray:
    """(N, I) in units of the spread of the rows `of`."""
    spread = table[of].std(0)
    return (table - table[of].mean(0)) / np.where(spread > 1e-9, spread, 1)


def by_speaker(table: np.ndarray, speaker: np.ndarray) -> np.ndarray:
    out = np.empty_like(table)
    for name in np.unique(speaker):
        own = speaker == name
        out[own] = standardised(table[own], np.ones(own.sum(), bool))
    return out


def recall(table: np.ndarray, category: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    model = LogisticRegression(C=STRENGTH, max_iter=1000).fit(table[train], category[train])
    return metrics.uar(model.predict(table[test]), category[test], int(category.max()) + 1)


def tables_of(prepared: Corpus, train: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics (N, 5 D) of frames as openSMILE writes them, and of frames as our models read them."""
    # 0 is what openSMILE writes where there is no pitch
    raw = [statistics(np.nan_to_num(np.asarray(prepared.segment(i), np.float64))) for i in range(len(prepared))]
    return {
        "raw": np.stack(raw),
        "clipped": segment_statistics(prepared, speaker_independent(prepared, prepared.segments.recording[train])),
    }


def rows(prepared: Corpus) -> pd.DataFrame:
    speaker = prepared.recordings.speaker[prepared.segments.recording]
    tested, category = np.isin(speaker, sorted(TESTED)), prepared.segments.category
    train, test = np.flatnonzero(~tested), np.flatnonzero(tested)
    found = []
    for frames, table in tables_of(prepared, train).items():
        tables = {
            "speaker-independent": standardised(table, ~tested),
            "standardised by speaker": by_speaker(table, speaker),
        }
        for name, labels, figure in [(n, b, f) for n, row in EXPECTED.items() for b, f in row.items()]:
            draws = [np.random.default_rng([s, labels]).permutation(train)[:labels] for s in range(SUBSETS)]
            draws = draws if labels < len(train) else draws[:1]
            each = np.array([recall(tables[name], category, chosen, test) for chosen in draws])
            found.append(
                {
                    "frames": frames,
                    "features": name,
                    "labels": labels,
                    "prototype": figure,
                    "uar": each.mean(),
                    "deviation_of_subsets": each.std(ddof=1) if len(each) > 1 else np.nan,
                    "subsets": len(each),
                    "difference": each.mean() - figure,
                }
            )
    return pd.DataFrame(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("segments", type=Path, nargs="?", help="RAVDESS, recorded with ComParE and its silence")
    parser.add_argument("--keep", type=Path, help="write the table there too")
    arguments = parser.parse_args()
    if arguments.segments is None:  # `make bench` has no recordings to hand over
        print("skipped: name a corpus made by emo-ssl corpus record … --front-end compare --keep-silence")
        return
    table = rows(Corpus.open(arguments.segments))
    print(table.to_string(index=False, float_format="{:.3f}".format))
    beyond = table[table.difference.abs() > TOLERANCE]
    below = (beyond.difference < 0).sum()
    print(f"\n{len(table) - len(beyond)} of {len(table)} within {TOLERANCE}; below by more: {below}")
    if arguments.keep:
        with atomic_path(arguments.keep) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n")


if __name__ == "__main__":
    main()
