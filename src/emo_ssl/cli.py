"""`emo-ssl …`: a thin face over the functions that notebooks call too. How it ends stands in utils/endings.py.

An option has the name of the argument that it becomes, and is handed on only if it was typed: the defaults live in one
place, in the function that is called.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import emo_ssl
from emo_ssl.utils import endings
from emo_ssl.utils.engine import ENGINES
from emo_ssl.utils.io import UserError
from emo_ssl.utils.values import read_config

# Commands import what they need themselves, so that `emo-ssl --help` does not wait for torch


def doctor() -> int:
    from emo_ssl import doctor

    return doctor.report(doctor.findings())


def prepare(**given: object) -> None:
    from emo_ssl.corpora import mosei, report

    print(report.describe(mosei.prepare(**given)))


def arrays(folder: Path, labels: Path, output: Path, **given: object) -> None:
    from emo_ssl.corpora.arrays import read_arrays, read_labels

    table = read_labels(labels)
    frames, names = read_arrays(folder)
    print(emo_ssl.Corpus.write(output, frames, table, feature_names=names, **given))


def import_(**given: object) -> None:
    from emo_ssl.corpora import pickled, report

    print(report.describe(pickled.import_pickle(**given)))


def export(folder: Path, output: Path, to: str = "npz") -> None:
    from emo_ssl.corpora.export import FRAMES, SEGMENTS, export

    corpus = emo_ssl.Corpus.open(folder)
    out = export(corpus, output, to)
    print(
        f"{out}: {len(corpus):,} segments in {SEGMENTS}, {len(corpus.recordings):,} recordings in {FRAMES}; back into "
        f"a corpus: emo-ssl corpus arrays {out / FRAMES} --labels {out / SEGMENTS} "
        f"--frame-rate {corpus.frame_rate:g} -o CORPUS"
    )


def synth(output: Path, **given: object) -> None:
    from emo_ssl.corpora import synthetic

    print(synthetic.describe(synthetic.write_corpus(output, synthetic.SynthConfig(**given))))


def record(**given: object) -> None:
    from emo_ssl.corpora import recordings, report

    print(report.describe(recordings.record(**given)))


def fetch(name: str, **given: object) -> None:
    from emo_ssl.corpora.fetch import fetch

    folder = fetch(name, **given)
    print(f"{folder}: ready; next: emo-ssl corpus record {folder} --recipe {name} -o CORPUS")


def show(folder: Path, json: bool = False) -> None:
    from emo_ssl.corpora import report

    corpus = emo_ssl.Corpus.open(folder)
    print(as_json(report.summary(corpus)) if json else report.describe(corpus))


def layers(folder: Path, output: Path, adapted: bool = False) -> None:
    from emo_ssl.study import layers

    print(layers.choose(emo_ssl.Corpus.open(folder), output, adapted).to_string(index=False, float_format="%.3f"))


def pretrain(
    corpora: list[Path],
    output: Path,
    config: Path | None = None,
    fold: int | str = 0,
    layers: Path | None = None,
    around: int = 0,
    **given: object,
) -> None:
    from emo_ssl.study.layers import best

    if around and not layers:
        raise UserError("--around goes with --layers FILE, the table whose best layer is meant; name it.")
    opened = [emo_ssl.Corpus.open(folder) for folder in corpora]
    settings = read_config(config, emo_ssl.PretrainConfig)
    runs = {number: output / f"fold-{number}" for number in opened[0].folds} if fold == "all" else {fold: output}
    for number, folder in runs.items():
        chosen = replace(settings, layer=best(layers, number, settings.protocol, around)) if layers else settings
        done = emo_ssl.pretrain(opened, folder, chosen, fold=number, **given)
        if os.environ.get("RANK", "0") == "0":  # the first of several that torchrun started
            print(done)


def finetune(corpus: Path, output: Path, run: Path | None = None, fold: int | None = None, **given: object) -> None:
    opened = emo_ssl.Corpus.open(corpus)
    if run:
        if fold is not None:
            raise UserError("--fold is that of the run that --pretrained names; leave it out.")
        settings = read_config(given.pop("config", None), emo_ssl.FinetuneConfig)
        print(emo_ssl.finetune(opened, run, output, config=settings, **given))
        return
    if unused := [f"--{name}" for name in ("rate", "config", "device") if name in given]:
        raise UserError(f"{unused[0]} is for fine-tuning a network; name its run with --pretrained, or leave it out.")
    print(emo_ssl.fit_contrast(opened, output, fold=fold or 0, **given))


def predict(model: Path, files: list[Path], output: Path | None = None, json: bool = False) -> None:
    from emo_ssl import predict

    if output:
        try:
            from emo_ssl.figures import prediction
        except ImportError as problem:
            what = f"-o draws figures, and {problem.name} is missing"
            raise UserError(f'{what}; pip install "emo-ssl[book]", or take --json instead.') from problem
        found = prediction.predict_into(model, files, output)
    else:
        found = predict.predict(model, files)
    for one in found.left_out:
        endings.complain(f"{one['file']}: left out: {one['reason']}")
    if found.table.empty:
        raise UserError("none of the recordings could be used; mend them, or name others.")
    said = {name: getattr(found, name) for name in ("warning", "left_out", "notes")}
    rows = {**said, "rows": found.table.to_dict("records")}
    print(as_json(rows) if json else predict.in_words(found))


def study(corpus: Path, config: Path | None = None, **given: object) -> None:
    from emo_ssl.evidence import report

    settings = read_config(config, emo_ssl.StudyConfig)
    done = emo_ssl.run_study(emo_ssl.Corpus.open(corpus), config=settings, **given)
    print(report.table(report.evaluate(done.folder)))


def evidence(
    folder: Path,
    json: bool = False,
    keep: Path | None = None,
    command: str = "",
    corpus: Path | None = None,
    beside: Path | None = None,
) -> None:
    from emo_ssl.evidence import record, report

    found = report.evaluate(folder, beside=beside)
    print(as_json(found) if json else report.table(found))
    if keep:
        record.keep(folder, keep, command, corpus and emo_ssl.Corpus.open(corpus))


def as_json(found: dict) -> str:
    return json.dumps(found, indent=1)


# Types of options


def names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def fold(text: str) -> int | str:
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither the number of a fold nor all")
    return text if text == "all" else int(text)


class Command(argparse.ArgumentParser):
    """A parser with the few kinds of options that we have."""

    def file(self, *names: str, metavar: str = "FILE", **settings: object) -> None:
        self.add_argument(*names, type=Path, metavar=metavar, **settings)

    def switch(self, name: str, words: str) -> None:
        self.add_argument(name, action="store_true", help=words)

    def seed(self) -> None:
        self.add_argument("--seed", type=int, metavar="S", help="same seed, same numbers (default: 0)")

    def json(self) -> None:
        self.switch("--json", "print it for programs")

    def output(self) -> None:
        self.file("-o", "--output", metavar="DIR", required=True, help="where it goes")

    def engine(self, jobs: str) -> None:
        self.add_argument("--jobs", type=int, metavar="N", help=jobs)
        self.add_argument("--engine", choices=ENGINES, help="dask: as tasks of a cluster, by default of processes here")
        self.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster that is there already")

    def training(self) -> None:
        self.file("--config", help="settings, TOML or JSON; without: the defaults")
        self.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, … (default: a GPU if there is one)")
        self.output()


def parser() -> Command:
    top = Command(prog="emo-ssl", description="Masked pretraining for audio-based emotion recognition.")
    top.add_argument("--version", action="version", version=emo_ssl.__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    corpus = commands.add_parser("corpus", help="make, prepare and look at training data")
    actions = corpus.add_subparsers(required=True, metavar="ACTION")

    def command(handler: Callable, words: str, group: argparse._SubParsersAction = commands) -> Command:
        added = group.add_parser(handler.__name__.rstrip("_"), help=words, argument_default=argparse.SUPPRESS)
        added.set_defaults(handler=handler)
        return added

    it = command(prepare, "cut CMU-MOSEI's .csd files into a corpus, with a report", actions)
    it.file("--acoustic", required=True, help="COVAREP features, .csd")
    it.file("--labels", required=True, help="emotion labels, .csd")
    it.file("--folds", default=None, help="JSON, CSV or the SDK's .py; without: a hash split")
    it.add_argument("--label-names", type=names, metavar="A,B,…", help="of the columns, where the file has no names")
    it.switch("--half", "store frames as float16; the report states the error")
    it.engine("workers of --engine dask (default: every core)")
    it.output()

    it = command(arrays, "turn features of your own into a corpus", actions)
    it.file("folder", metavar="FOLDER", help="one .npy, .npz or .parquet (frames, features) each")
    it.file(
        "--labels", required=True, help="CSV: recording, speaker, start, end, fold, category, each emotion (0 to 3)"
    )
    it.add_argument("--frame-rate", type=float, required=True, metavar="R", help="frames in a second")
    it.add_argument("--folds", type=int, metavar="K", help="parts that keep speakers apart (default: 5)")
    it.switch("--half", "store frames as float16")
    it.output()

    it = command(import_, "join a pickle of MMSA or MulT with the label file; it is read and never run", actions)
    it.file("file", metavar="FILE.pkl", help="unaligned_50.pkl, aligned_50.pkl or mosei_senti_data_noalign.pkl")
    it.file("--labels", required=True, help="emotion labels, .csd")
    it.add_argument("--label-names", type=names, metavar="A,B,…", help="of the columns, where the file has no names")
    it.output()

    it = command(export, "frames and a table of segments for other programs", actions)
    it.file("folder", metavar="CORPUS")
    it.add_argument("--to", metavar="F", help="npz (default), or parquet, which needs pyarrow")
    it.output()

    it = command(synth, "write a made-up corpus of CMU-MOSEI's shape", actions)
    it.add_argument("--videos", type=int, metavar="N", help="how many videos (default: 40)")
    it.seed()
    it.add_argument("--scenario", metavar="W", help="where emotion shows: null, static, dynamics, …")
    it.add_argument("--share", type=float, metavar="X", help="share of the dynamics with emotion")
    it.switch("--clean", "leave out the defects that real files have")
    it.output()

    it = command(record, "turn recordings into a corpus, listing the unusable ones", actions)
    it.file("source", metavar="SOURCE", help="a folder, or the zip of a public corpus")
    it.add_argument("--recipe", metavar="R", help="ravdess (default), emodb, cremad, or folder, with --table")
    it.file("--table", help="of folder: CSV: path, speaker, emotions; category, …; of cremad: its votes")
    it.add_argument("--folds", metavar="F", help="of ravdess: emobox, the six of that benchmark, with eight classes")
    it.add_argument(
        "--front-end",
        metavar="F",
        help="acoustics (default), egemaps, compare, or a speech encoder: NAME[:LAYER,…|:all]",
    )
    it.add_argument("--half", action=argparse.BooleanOptionalAction, help="float16 frames (default for encoders)")
    it.add_argument("--device", metavar="D", help="of a speech encoder: cpu (default), cuda, …")
    it.switch("--keep-silence", "keep the quiet before and after the voice")
    it.engine("processes beside each other (default: every core)")
    it.output()

    it = command(fetch, "download a public corpus from its archive, and unpack it", actions)
    it.add_argument("name", metavar="NAME", help="ravdess")
    it.switch("--accept-terms", "you know its terms and accept them")
    it.output()

    it = command(show, "print what a prepared folder holds", actions)
    it.file("folder", metavar="CORPUS")
    it.json()

    it = command(layers, "score the layers of a speech encoder on validation speakers, fold by fold", actions)
    it.file("folder", metavar="CORPUS")
    it.file("-o", "--output", required=True, help="the table, CSV; `emo-ssl pretrain --layers` takes the best from it")
    it.switch("--adapted", "for the speaker-adapted protocol too")

    it = command(pretrain, "learn to recover masked frames, without labels")
    it.file("corpora", nargs="+", metavar="CORPUS", help="prepared folders")
    it.seed()
    it.add_argument(
        "--fold", type=fold, metavar="K", help="to hold out (default: 0); all: a run for each, in DIR/fold-K"
    )
    it.file("--layers", help="what `emo-ssl corpus layers` wrote: each fold reads its best layer")
    it.add_argument("--around", type=int, metavar="N", help="with --layers: and N on each side of it (default: 0)")
    it.training()

    it = command(finetune, "learn emotions from labels, and save the model")
    it.file("corpus", metavar="CORPUS")
    it.file("--pretrained", dest="run", metavar="RUN", help="fine-tune it (default: contrast and self-training)")
    it.add_argument("--fold", type=int, metavar="K", help="to hold out, without --pretrained (default: 0)")
    it.add_argument("--budget", dest="labels", type=int, metavar="N", help="labelled segments to use (default: all)")
    it.add_argument("--rate", type=float, metavar="R", help="peak learning rate (default: 0.001)")
    it.seed()
    it.training()

    it = command(predict, "emotions that a fine-tuned model recognises in recordings")
    it.file("model", metavar="MODEL", help="a folder made by emo-ssl finetune")
    it.file("files", nargs="+", help="recordings: wav, flac, mp3, ogg")
    it.json()
    it.file("-o", "--output", metavar="DIR", help="where a table and figures go")

    it = command(study, "compare pretrained and not, at every label budget")
    it.file("corpus", metavar="CORPUS")
    it.file("--pretrained", dest="runs", nargs="+", required=True, metavar="RUN")
    it.engine("chunks beside each other on a processor (default: 1; with dask every core)")
    it.training()

    it = command(evidence, "what a finished study shows: effects, intervals, claims")
    it.file("folder", metavar="STUDY")
    it.json()
    it.file("--beside", metavar="STUDY", help="another study of the same segments and seeds: compare with its arms too")
    it.file("--keep", metavar="DIR", help="copy what is small and lasting there")
    it.add_argument("--command-that-repeats", dest="command", metavar="TEXT", help="stored with what is kept")
    it.file("--corpus", metavar="CORPUS", help="that was studied; what it holds is kept too")

    command(doctor, "check this computer and say what to do")
    return top


def note_on_threads() -> None:
    """Two training processes stall each other: the threads of each wait busily for cores that the other holds."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if "OMP_NUM_THREADS" not in os.environ and load > (os.cpu_count() or 1) / 2:
        endings.complain("this computer is busy; if another process trains here, start each with OMP_NUM_THREADS=1")


def main(argv: list[str] | None = None) -> int:
    if hasattr(sys.stdout, "reconfigure"):  # not where a caller collects what is printed
        sys.stdout.reconfigure(errors="backslashreplace")  # what the terminal's encoding lacks, as in stderr
    given = vars(parser().parse_args(argv))
    handler = given.pop("handler")
    if handler in (pretrain, finetune, study):
        note_on_threads()
    return endings.run(lambda: handler(**given))
