"""`emo-ssl …`: a thin face over the functions that notebooks call too.

Exit status: 0 done, 2 something the caller can mend, 130 interrupted (Ctrl-C),
143 stopped by SIGTERM. After the last two the same command continues.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from emo_ssl import __version__
from emo_ssl.utils.io import UserError, is_disk_full

MENDABLE, INTERRUPTED, TERMINATED, BROKEN_PIPE = 2, 130, 143, 141


class Terminated(KeyboardInterrupt):
    """SIGTERM, as an exception: what cleans up after Ctrl-C cleans up after a cluster's time limit too."""


# Handlers import what they need themselves, so that `emo-ssl --help` does not wait for torch


def run_doctor(arguments: argparse.Namespace) -> int:
    from emo_ssl import doctor

    return doctor.report(doctor.checks())


def run_version(arguments: argparse.Namespace) -> int:
    print(__version__)
    return 0


def run_corpus_prepare(arguments: argparse.Namespace) -> int:
    from emo_ssl.corpora import mosei
    from emo_ssl.corpora.report import describe

    prepared = mosei.prepare(
        arguments.acoustic,
        arguments.labels,
        arguments.folds,
        arguments.output,
        half=arguments.half,
        label_names=arguments.label_names,
    )
    print(describe(prepared))
    return 0


def run_corpus_synth(arguments: argparse.Namespace) -> int:
    from emo_ssl.corpora.synthetic import SynthConfig, describe, write_corpus

    # Only what was typed is handed on: the defaults live in one place, SynthConfig
    names = ("videos", "seed", "scenario", "share", "clean")
    given = {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}
    summary = write_corpus(arguments.output, SynthConfig(**given))
    print(json.dumps(summary, indent=1, ensure_ascii=False) if arguments.json else describe(summary))
    return 0


def run_corpus_record(arguments: argparse.Namespace) -> int:
    from emo_ssl.corpora.recordings import record, summary_in_words

    given = (arguments.recipe, arguments.table, arguments.front_end, arguments.jobs, arguments.keep_silence)
    print(summary_in_words(record(arguments.source, arguments.output, *given)))
    return 0


def run_corpus_fetch(arguments: argparse.Namespace) -> int:
    from emo_ssl.corpora.fetch import by_name, fetch

    corpus = by_name(arguments.corpus)
    folder = fetch(corpus, arguments.output, arguments.accept_terms)
    print(f"{folder}: ready; next: emo-ssl corpus record {folder} --recipe {corpus.name} -o SEGMENTS")
    return 0


def run_corpus_show(arguments: argparse.Namespace) -> int:
    from emo_ssl.core.corpus import Corpus
    from emo_ssl.corpora.report import describe, parts

    corpus = Corpus.open(arguments.folder)
    if arguments.json:
        print(json.dumps({**corpus.summary(), "parts": parts(corpus)}, indent=1, ensure_ascii=False))
    else:
        print(describe(corpus))
    return 0


def run_pretrain(arguments: argparse.Namespace) -> int:
    from emo_ssl.core.corpus import Corpus
    from emo_ssl.core.pretrain import PretrainConfig, card, pretrain
    from emo_ssl.utils.config import read_config

    corpora = [Corpus.open(folder) for folder in arguments.segments]
    config = read_config(arguments.config, PretrainConfig)
    result = pretrain(corpora, arguments.output, config, arguments.seed, arguments.fold, arguments.device)
    print(card(result))
    return 0


def run_finetune(arguments: argparse.Namespace) -> int:
    from emo_ssl.core.corpus import Corpus
    from emo_ssl.core.finetune import FinetuneConfig
    from emo_ssl.core.predictor import card, finetune_one
    from emo_ssl.utils.config import read_config

    description = finetune_one(
        Corpus.open(arguments.segments),
        arguments.pretrained,
        arguments.output,
        arguments.budget,
        arguments.rate,
        arguments.seed,
        read_config(arguments.config, FinetuneConfig),
        arguments.device,
    )
    print(card(description))
    return 0


def run_predict(arguments: argparse.Namespace) -> int:
    from emo_ssl import predict

    if arguments.output:
        heard = with_figures().predict_into(arguments.model, arguments.files, arguments.output)
    else:
        heard = predict.predict(arguments.model, arguments.files)
    for one in heard.left_out:
        complain(f"{one['file']}: left out: {one['reason']}", MENDABLE)
    if heard.table.empty:
        return complain("none of the recordings could be used; mend them, or name others.", MENDABLE)
    print(json.dumps(predict.as_json(heard), indent=1) if arguments.json else predict.in_words(heard))
    return 0


def with_figures():
    try:
        from emo_ssl.figures import prediction as heard
    except ImportError as problem:
        raise UserError(
            f'-o draws figures, and {problem.name} is missing; pip install "emo-ssl[book]", or take --json instead.'
        ) from problem
    return heard


def run_study(arguments: argparse.Namespace) -> int:
    from emo_ssl.core.corpus import Corpus
    from emo_ssl.evidence import report as evidence
    from emo_ssl.study.grid import StudyConfig
    from emo_ssl.study.run import study
    from emo_ssl.utils.config import read_config

    config = read_config(arguments.config, StudyConfig)
    prepared = Corpus.open(arguments.segments)
    folder = study(prepared, arguments.pretrained, arguments.output, config, arguments.device, arguments.shard)
    if arguments.shard:
        print(f"{folder}: this shard is done; when all are, run the same command without --shard.")
    else:
        print(evidence.table(evidence.evaluate(folder)))
    return 0


def run_evidence(arguments: argparse.Namespace) -> int:
    from emo_ssl.evidence import report as evidence

    found = evidence.evaluate(arguments.folder)
    print(json.dumps(found, indent=1, ensure_ascii=False) if arguments.json else evidence.table(found))
    if arguments.coding:
        from emo_ssl.evidence.label_scales import verdicts

        named = {",".join(f"{value:g}" for value in values): values for values in arguments.coding}
        for name, claims in verdicts(arguments.folder, named).items():
            print(f"\nwith the levels read as {name}: " + "; ".join(f"{c['claim']} {c['verdict']}" for c in claims))
    if arguments.keep:
        from emo_ssl.core.corpus import Corpus
        from emo_ssl.evidence.record import keep

        corpus = Corpus.open(arguments.corpus) if arguments.corpus else None
        keep(arguments.folder, arguments.keep, arguments.command_that_repeats or "", corpus)
    return 0


def one_of_many(text: str) -> tuple[int, int]:
    i, _, n = text.partition("/")
    if not (i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a shard such as 2/4")
    return int(i), int(n)


def four_values(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not four numbers such as 0,1,1,2")
    return values


def comma_separated(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def add_corpus(commands: argparse._SubParsersAction) -> None:
    corpus = commands.add_parser("corpus", help="make, prepare and look at training data")
    actions = corpus.add_subparsers(dest="action", required=True, metavar="ACTION")

    prepare = actions.add_parser("prepare", help="cut CMU-MOSEI's .csd files into Segments, with a report")
    prepare.add_argument("--acoustic", type=Path, required=True, metavar="FILE", help="COVAREP features, .csd")
    prepare.add_argument("--labels", type=Path, required=True, metavar="FILE", help="emotion labels, .csd")
    prepare.add_argument("--folds", type=Path, metavar="FILE", help="JSON, CSV or the SDK's .py; without: a hash split")
    prepare.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where the Segments go")
    prepare.add_argument("--half", action="store_true", help="store frames as float16; the report states the error")
    prepare.add_argument(
        "--label-names",
        type=comma_separated,
        metavar="A,B,…",
        help="the label columns in the file's order, where the file does not name them",
    )
    prepare.set_defaults(handler=run_corpus_prepare)

    synth = actions.add_parser("synth", help="write a made-up corpus of CMU-MOSEI's shape")
    absent = argparse.SUPPRESS
    synth.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where the .csd files go")
    synth.add_argument("--videos", type=int, default=40, metavar="N", help="how many videos (default: 40)")
    synth.add_argument("--seed", type=int, default=0, metavar="S", help="same seed, same bytes (default: 0)")
    synth.add_argument("--scenario", default=absent, metavar="W", help="where emotion shows: null, static, dynamics, …")
    synth.add_argument("--share", type=float, default=absent, metavar="X", help="share of the dynamics with emotion")
    synth.add_argument("--clean", action="store_true", help="leave out the defects that real files have")
    synth.add_argument("--json", action="store_true", help="print the summary for programs")
    synth.set_defaults(handler=run_corpus_synth)

    record = actions.add_parser("record", help="turn recordings into Segments, listing those that cannot be used")
    record.add_argument("source", type=Path, metavar="SOURCE", help="a folder, or the zip of RAVDESS")
    record.add_argument("--recipe", default="ravdess", metavar="R", help="ravdess (default) or folder, with --table")
    record.add_argument("--table", type=Path, metavar="FILE", help="CSV: path, speaker, emotions; category, start, …")
    record.add_argument("--front-end", default="acoustics", metavar="F", help="acoustics (default), egemaps, compare")
    record.add_argument("--keep-silence", action="store_true", help="keep the quiet before and after the voice")
    record.add_argument("--jobs", type=int, metavar="N", help="processes beside each other (default: every core)")
    record.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where the Segments go")
    record.set_defaults(handler=run_corpus_record)

    fetch = actions.add_parser("fetch", help="download a public corpus from its archive, and unpack it")
    fetch.add_argument("corpus", metavar="CORPUS", help="ravdess")
    fetch.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where the recordings go")
    fetch.add_argument("--accept-terms", action="store_true", help="you know its terms and accept them")
    fetch.set_defaults(handler=run_corpus_fetch)

    show = actions.add_parser("show", help="say what a prepared folder holds")
    show.add_argument("folder", type=Path, metavar="DIR")
    show.add_argument("--json", action="store_true", help="for programs")
    show.set_defaults(handler=run_corpus_show)


def add_training(commands: argparse._SubParsersAction) -> None:
    def command(name: str, words: str, handler, made: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=words)
        added.add_argument("-o", "--output", type=Path, required=True, metavar=made)
        added.add_argument("--config", type=Path, metavar="FILE", help="settings, TOML or JSON; without: the defaults")
        added.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, … (default: a GPU if there is one)")
        added.set_defaults(handler=handler)
        return added

    pretraining = command("pretrain", "learn to recover masked frames, without labels", run_pretrain, "RUN")
    pretraining.add_argument("segments", type=Path, nargs="+", metavar="SEGMENTS", help="prepared corpora")
    pretraining.add_argument("--seed", type=int, default=0, metavar="S")
    pretraining.add_argument("--fold", type=int, default=0, metavar="K", help="of a corpus with cross-validation folds")

    tuning = command("finetune", "teach a pretrained backbone to hear emotions, and save it", run_finetune, "MODEL")
    tuning.add_argument("segments", type=Path, metavar="SEGMENTS")
    tuning.add_argument("--pretrained", type=Path, required=True, metavar="RUN")
    tuning.add_argument("--budget", type=int, metavar="N", help="labelled segments to use (default: all)")
    tuning.add_argument("--rate", type=float, default=1e-3, metavar="R", help="peak learning rate (default: 0.001)")
    tuning.add_argument("--seed", type=int, default=0, metavar="S")

    predicting = commands.add_parser("predict", help="what a fine-tuned model hears in recordings, over time")
    predicting.add_argument("model", type=Path, metavar="MODEL", help="a folder made by emo-ssl finetune")
    predicting.add_argument("files", type=Path, nargs="+", metavar="FILE", help="recordings: wav, flac, mp3, ogg")
    predicting.add_argument("-o", "--output", type=Path, metavar="DIR", help="where a table and figures go")
    predicting.add_argument("--json", action="store_true", help="for programs")
    predicting.set_defaults(handler=run_predict)

    studying = command("study", "compare pretrained and not, at every label budget", run_study, "DIR")
    studying.add_argument("segments", type=Path, metavar="SEGMENTS")
    studying.add_argument("--pretrained", type=Path, nargs="+", required=True, metavar="RUN")
    studying.add_argument("--shard", type=one_of_many, metavar="I/N", help="run only every N-th part, beginning with I")

    evidence = commands.add_parser("evidence", help="what a finished study shows: effects, intervals, claims")
    evidence.add_argument("folder", type=Path, metavar="DIR")
    evidence.add_argument("--json", action="store_true", help="for programs")
    evidence.add_argument(
        "--coding",
        type=four_values,
        action="append",
        metavar="A,B,C,D",
        help="judge the claims again with label levels 0 to 3 read as these values (may be given several times)",
    )
    evidence.add_argument("--keep", type=Path, metavar="FOLDER", help="copy what is small and lasting there")
    evidence.add_argument("--command-that-repeats", metavar="TEXT", help="stored with what is kept")
    evidence.add_argument("--corpus", type=Path, metavar="SEGMENTS", help="that was studied; what it holds is kept too")
    evidence.set_defaults(handler=run_evidence)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="emo-ssl", description="Masked pretraining for audio-based emotion recognition.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("doctor", help="check this computer and say what to do").set_defaults(handler=run_doctor)
    add_corpus(commands)
    add_training(commands)
    commands.add_parser("version", help="print the version").set_defaults(handler=run_version)
    return top


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only there may a signal be caught
        yield
        return

    def stop(number, frame):
        raise Terminated

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def complain(sentence: str, status: int) -> int:
    print(f"emo-ssl: {sentence}", file=sys.stderr)
    return status


def explain(problem: OSError) -> str:
    name = f"{problem.filename}: " if problem.filename is not None else ""
    if is_disk_full(problem):
        return f"{name}the disk is full; free some space or choose another -o and run again."
    return f"{name}{problem.strerror or problem}."


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        with sigterm_as_interrupt():
            status = arguments.handler(arguments)
            sys.stdout.flush()
            return status
    except UserError as problem:
        return complain(str(problem), MENDABLE)
    except Terminated:
        return complain("stopped by SIGTERM; run the same command again to continue", TERMINATED)
    except KeyboardInterrupt:
        return complain("interrupted; run the same command again to continue", INTERRUPTED)
    except BrokenPipeError:
        # The reader (`| head`) has gone: what the interpreter flushes at exit has to go nowhere
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as problem:
        return complain(explain(problem), MENDABLE)
    except MemoryError:
        return complain("not enough memory; close other programs or use less data at once.", MENDABLE)
