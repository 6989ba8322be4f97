"""`emo-ssl …`: a thin face over the functions that notebooks call too. How it ends stands in utils/endings.py."""

import argparse
import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import emo_ssl
from emo_ssl.utils import endings
from emo_ssl.utils.config import read_config
from emo_ssl.utils.io import UserError

# Handlers import what they need themselves, so that `emo-ssl --help` does not wait for torch


def run_doctor(arguments: argparse.Namespace) -> int:
    from emo_ssl import doctor

    return doctor.report(doctor.findings())


def run_corpus_prepare(arguments: argparse.Namespace) -> None:
    from emo_ssl.corpora import mosei
    from emo_ssl.corpora.report import describe

    files = (arguments.acoustic, arguments.labels, arguments.folds, arguments.output)
    names = arguments.label_names and tuple(name.strip() for name in arguments.label_names.split(","))
    print(describe(mosei.prepare(*files, half=arguments.half, label_names=names)))


def run_corpus_arrays(arguments: argparse.Namespace) -> None:
    from emo_ssl.corpora.arrays import read_arrays, read_labels

    labels = read_labels(arguments.labels)
    frames, names = read_arrays(arguments.folder)
    settings = (arguments.frame_rate, arguments.folds, names, arguments.half)
    print(emo_ssl.Corpus.write(arguments.output, frames, labels, *settings))


def run_corpus_synth(arguments: argparse.Namespace) -> None:
    from emo_ssl.corpora.synthetic import SynthConfig, describe, write_corpus

    # Only what was typed is handed on: the defaults live in one place, SynthConfig
    names = {field.name for field in dataclasses.fields(SynthConfig)}
    given = {name: value for name, value in vars(arguments).items() if name in names}
    print(describe(write_corpus(arguments.output, SynthConfig(**given))))


def run_corpus_record(arguments: argparse.Namespace) -> None:
    from emo_ssl.corpora.recordings import record
    from emo_ssl.corpora.report import describe

    given = (arguments.recipe, arguments.table, arguments.front_end, arguments.jobs, arguments.keep_silence)
    print(describe(record(arguments.source, arguments.output, *given)))


def run_corpus_fetch(arguments: argparse.Namespace) -> None:
    from emo_ssl.corpora.fetch import fetch

    folder = fetch(arguments.corpus, arguments.output, arguments.accept_terms)
    print(f"{folder}: ready; next: emo-ssl corpus record {folder} --recipe {arguments.corpus} -o CORPUS")


def run_corpus_show(arguments: argparse.Namespace) -> None:
    from emo_ssl.corpora.report import describe, summary

    corpus = emo_ssl.Corpus.open(arguments.folder)
    print(as_json(summary(corpus)) if arguments.json else describe(corpus))


def run_pretrain(arguments: argparse.Namespace) -> None:
    corpora = [emo_ssl.Corpus.open(folder) for folder in arguments.corpus]
    config = read_config(arguments.config, emo_ssl.PretrainConfig)
    every = arguments.fold == "all"
    for fold in corpora[0].folds if every else [arguments.fold]:
        output = arguments.output / f"fold-{fold}" if every else arguments.output
        print(emo_ssl.pretrain(corpora, output, config, arguments.seed, fold, arguments.device))


def run_finetune(arguments: argparse.Namespace) -> None:
    model = emo_ssl.finetune(
        emo_ssl.Corpus.open(arguments.corpus),
        arguments.pretrained,
        arguments.output,
        arguments.budget,
        arguments.rate,
        arguments.seed,
        read_config(arguments.config, emo_ssl.FinetuneConfig),
        arguments.device,
    )
    print(model)


def run_predict(arguments: argparse.Namespace) -> None:
    from emo_ssl import predict

    if arguments.output:
        try:
            from emo_ssl.figures import prediction
        except ImportError as problem:
            what = f"-o draws figures, and {problem.name} is missing"
            raise UserError(f'{what}; pip install "emo-ssl[book]", or take --json instead.') from problem
        found = prediction.predict_into(arguments.model, arguments.files, arguments.output)
    else:
        found = predict.predict(arguments.model, arguments.files)
    for one in found.left_out:
        endings.complain(f"{one['file']}: left out: {one['reason']}")
    if found.table.empty:
        raise UserError("none of the recordings could be used; mend them, or name others.")
    if arguments.json:
        rows = found.table.to_dict("records")
        print(as_json({"warning": found.warning, "left_out": found.left_out, "rows": rows}))
    else:
        print(predict.in_words(found))


def run_study(arguments: argparse.Namespace) -> None:
    from emo_ssl.evidence import report

    config = read_config(arguments.config, emo_ssl.StudyConfig)
    corpus = emo_ssl.Corpus.open(arguments.corpus)
    given = (arguments.pretrained, arguments.output, config, arguments.device, arguments.shard)
    study = emo_ssl.run_study(corpus, *given)
    if arguments.shard:
        print(f"{study.folder}: this shard is done; when all are, run the same command without --shard.")
    else:
        print(report.table(report.evaluate(study.folder)))


def run_evidence(arguments: argparse.Namespace) -> None:
    from emo_ssl.evidence import report

    found = report.evaluate(arguments.folder)
    print(as_json(found) if arguments.json else report.table(found))
    if arguments.keep:
        from emo_ssl.evidence.record import keep

        corpus = emo_ssl.Corpus.open(arguments.corpus) if arguments.corpus else None
        keep(arguments.folder, arguments.keep, arguments.command_that_repeats or "", corpus)


def as_json(found: dict) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False)


def shard(text: str) -> tuple[int, int]:
    i, _, n = text.partition("/")
    if not (i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a shard such as 2/4")
    return int(i), int(n)


def fold(text: str) -> int | str:
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither the number of a fold nor all")
    return text if text == "all" else int(text)


def command(group: argparse._SubParsersAction, name: str, handler: Callable, words: str) -> argparse.ArgumentParser:
    added = group.add_parser(name, help=words)
    added.set_defaults(handler=handler)
    return added


def add_output(added: argparse.ArgumentParser, required: bool = True, words: str = "where it goes") -> None:
    added.add_argument("-o", "--output", type=Path, required=required, metavar="DIR", help=words)


def add_json(added: argparse.ArgumentParser) -> None:
    added.add_argument("--json", action="store_true", help="print it for programs")


def add_corpus(commands: argparse._SubParsersAction) -> None:
    corpus = commands.add_parser("corpus", help="make, prepare and look at training data")
    actions = corpus.add_subparsers(dest="action", required=True, metavar="ACTION")

    prepare = command(actions, "prepare", run_corpus_prepare, "cut CMU-MOSEI's .csd files into a corpus, with a report")
    prepare.add_argument("--acoustic", type=Path, required=True, metavar="FILE", help="COVAREP features, .csd")
    prepare.add_argument("--labels", type=Path, required=True, metavar="FILE", help="emotion labels, .csd")
    prepare.add_argument("--folds", type=Path, metavar="FILE", help="JSON, CSV or the SDK's .py; without: a hash split")
    names = "the label columns in the file's order, where the file does not name them"
    prepare.add_argument("--label-names", metavar="A,B,…", help=names)
    prepare.add_argument("--half", action="store_true", help="store frames as float16; the report states the error")
    add_output(prepare)

    arrays = command(actions, "arrays", run_corpus_arrays, "turn features of your own into a corpus")
    arrays.add_argument(
        "folder", type=Path, metavar="FOLDER", help="one .npy, .npz or .parquet (frames, features) each"
    )
    columns = "CSV: recording, speaker, start, end, category, and a column for each emotion (0 to 3)"
    arrays.add_argument("--labels", type=Path, required=True, metavar="FILE", help=columns)
    arrays.add_argument("--frame-rate", type=float, required=True, metavar="R", help="frames in a second")
    arrays.add_argument("--folds", type=int, default=5, metavar="K", help="parts that keep speakers apart (default: 5)")
    arrays.add_argument("--half", action="store_true", help="store frames as float16")
    add_output(arrays)

    synth = command(actions, "synth", run_corpus_synth, "write a made-up corpus of CMU-MOSEI's shape")
    absent = argparse.SUPPRESS
    synth.add_argument("--videos", type=int, default=40, metavar="N", help="how many videos (default: 40)")
    synth.add_argument("--seed", type=int, default=0, metavar="S", help="same seed, same bytes (default: 0)")
    synth.add_argument("--scenario", default=absent, metavar="W", help="where emotion shows: null, static, dynamics, …")
    synth.add_argument("--share", type=float, default=absent, metavar="X", help="share of the dynamics with emotion")
    synth.add_argument("--clean", action="store_true", help="leave out the defects that real files have")
    add_output(synth)

    record = command(actions, "record", run_corpus_record, "turn recordings into a corpus, listing the unusable ones")
    record.add_argument("source", type=Path, metavar="SOURCE", help="a folder, or the zip of RAVDESS")
    record.add_argument("--recipe", default="ravdess", metavar="R", help="ravdess (default) or folder, with --table")
    record.add_argument("--table", type=Path, metavar="FILE", help="CSV: path, speaker, emotions; category, start, …")
    record.add_argument("--front-end", default="acoustics", metavar="F", help="acoustics (default), egemaps, compare")
    record.add_argument("--keep-silence", action="store_true", help="keep the quiet before and after the voice")
    record.add_argument("--jobs", type=int, metavar="N", help="processes beside each other (default: every core)")
    add_output(record)

    fetch = command(actions, "fetch", run_corpus_fetch, "download a public corpus from its archive, and unpack it")
    fetch.add_argument("corpus", metavar="NAME", help="ravdess")
    fetch.add_argument("--accept-terms", action="store_true", help="you know its terms and accept them")
    add_output(fetch)

    shown = command(actions, "show", run_corpus_show, "print what a prepared folder holds")
    shown.add_argument("folder", type=Path, metavar="CORPUS")
    add_json(shown)


def add_training(commands: argparse._SubParsersAction) -> None:
    def training(name: str, handler: Callable, words: str) -> argparse.ArgumentParser:
        added = command(commands, name, handler, words)
        added.add_argument("--config", type=Path, metavar="FILE", help="settings, TOML or JSON; without: the defaults")
        added.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, … (default: a GPU if there is one)")
        added.set_defaults(trains=True)
        add_output(added)
        return added

    pretraining = training("pretrain", run_pretrain, "learn to recover masked frames, without labels")
    pretraining.add_argument("corpus", type=Path, nargs="+", metavar="CORPUS", help="prepared folders")
    pretraining.add_argument("--seed", type=int, default=0, metavar="S")
    folds = "cross-validation fold; all: a run for each, in DIR/fold-K"
    pretraining.add_argument("--fold", type=fold, default=0, metavar="K", help=folds)

    tuning = training("finetune", run_finetune, "fine-tune a pretrained model on labels, and save it")
    tuning.add_argument("corpus", type=Path, metavar="CORPUS")
    tuning.add_argument("--pretrained", type=Path, required=True, metavar="RUN")
    tuning.add_argument("--budget", type=int, metavar="N", help="labelled segments to use (default: all)")
    tuning.add_argument("--rate", type=float, default=1e-3, metavar="R", help="peak learning rate (default: 0.001)")
    tuning.add_argument("--seed", type=int, default=0, metavar="S")

    predicting = command(commands, "predict", run_predict, "emotions that a fine-tuned model recognises in recordings")
    predicting.add_argument("model", type=Path, metavar="MODEL", help="a folder made by emo-ssl finetune")
    predicting.add_argument("files", type=Path, nargs="+", metavar="FILE", help="recordings: wav, flac, mp3, ogg")
    add_json(predicting)
    add_output(predicting, required=False, words="where a table and figures go")

    studying = training("study", run_study, "compare pretrained and not, at every label budget")
    studying.add_argument("corpus", type=Path, metavar="CORPUS")
    studying.add_argument("--pretrained", type=Path, nargs="+", required=True, metavar="RUN")
    studying.add_argument("--shard", type=shard, metavar="I/N", help="run only every N-th part, beginning with I")

    evidence = command(commands, "evidence", run_evidence, "what a finished study shows: effects, intervals, claims")
    evidence.add_argument("folder", type=Path, metavar="STUDY")
    add_json(evidence)
    evidence.add_argument("--keep", type=Path, metavar="DIR", help="copy what is small and lasting there")
    evidence.add_argument("--command-that-repeats", metavar="TEXT", help="stored with what is kept")
    evidence.add_argument("--corpus", type=Path, metavar="CORPUS", help="that was studied; what it holds is kept too")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="emo-ssl", description="Masked pretraining for audio-based emotion recognition.")
    top.add_argument("--version", action="version", version=emo_ssl.__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_corpus(commands)
    add_training(commands)
    command(commands, "doctor", run_doctor, "check this computer and say what to do")
    return top


def note_on_threads() -> None:
    """Two training processes stall each other: the threads of each wait busily for cores that the other holds."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if "OMP_NUM_THREADS" not in os.environ and load > (os.cpu_count() or 1) / 2:
        endings.complain("this computer is busy; if another process trains here, start each with OMP_NUM_THREADS=1")


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    if hasattr(arguments, "trains"):
        note_on_threads()
    return endings.run(lambda: arguments.handler(arguments))
