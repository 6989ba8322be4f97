"""A public corpus from its archive: the terms first, then a verified download, then a careful unpacking.

The folder appears whole or not at all: everything happens in `DIR.unfinished` beside it, which is renamed at the end.
Where the file lies and what its checksum is come from the archive's own record, read by pooch; neither stands here.
What was cut off begins again: pooch cannot resume a download.
"""

import contextlib
import os
import re
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

from emo_ssl.corpora.unpack import unpack
from emo_ssl.utils.io import LOCK, STATE, OutputFolder, UserError, atomic_path, require_space, sync, write_json
from emo_ssl.utils.progress import Progress

KIND, UNFINISHED, SOURCE = "download", ".unfinished", "source.json"
TIMEOUT = 30  # seconds without a byte from the server
CHUNK = 1 << 16
MEGABYTE = 1e6


@dataclass(frozen=True)
class PublicCorpus:
    name: str
    title: str
    authors: str
    licence: str
    not_allowed: str
    cite: str
    doi: str
    file: str  # a zip, by its name in the archive's record
    megabytes: int  # of the file, about
    most_megabytes: int  # unpacked; more is no archive of this corpus
    most_files: int

    @property
    def page(self) -> str:
        return f"https://doi.org/{self.doi}"


RAVDESS = PublicCorpus(
    name="ravdess",
    title="RAVDESS, Ryerson Audio-Visual Database of Emotional Speech and Song: the speech of 24 actors, audio only",
    authors="Steven R. Livingstone and Frank A. Russo, 2018",
    licence="CC BY-NC-SA 4.0, https://creativecommons.org/licenses/by-nc-sa/4.0/",
    not_allowed="commercial use, use without naming the authors, passing on an adaptation under another licence",
    cite="Livingstone SR, Russo FA (2018), PLoS ONE 13(5): e0196391, https://doi.org/10.1371/journal.pone.0196391",
    doi="10.5281/zenodo.1188976",
    file="Audio_Speech_Actors_01-24.zip",
    megabytes=208,
    most_megabytes=2000,
    most_files=5000,
)
CORPORA = {corpus.name: corpus for corpus in (RAVDESS,)}


def by_name(name: str) -> PublicCorpus:
    if name not in CORPORA:
        raise UserError(f"{name}: no corpus of this name can be fetched; there is {', '.join(CORPORA)}.")
    return CORPORA[name]


def fetch(corpus: PublicCorpus, output: Path | str, accept_terms: bool = False) -> Path:
    """The folder with the unpacked corpus. A complete one is left as it is, without a question or a request."""
    config = {"corpus": corpus.name, "doi": corpus.doi, "file": corpus.file}
    folder = Path(output).resolve()
    if is_complete(folder, config):
        return folder
    require_pooch()
    agree(corpus, accept_terms)
    unfinished = folder.with_name(folder.name + UNFINISHED)
    try:
        with OutputFolder(unfinished, KIND, config) as out:
            if not out.complete:  # it is where only the renaming was interrupted
                fill(unfinished, corpus)
                out.finish()
        if folder.exists():
            folder.rmdir()  # known to be empty; Windows renames over no folder
        os.replace(unfinished, folder)
        sync(folder.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.rmdir()  # what a killed run left, now emptied
        raise
    return folder


def is_complete(folder: Path, config: dict) -> bool:
    if not folder.exists():
        return False
    if folder.is_dir() and not any(folder.iterdir()):
        if folder.is_mount() or folder == Path.cwd():
            raise UserError(f"{folder}: this folder cannot be renamed over; choose one inside it with -o.")
        return False
    with OutputFolder(folder, KIND, config) as there:
        if not there.complete:
            raise UserError(f"{folder}: an unfinished download lies here; delete the folder and run again.")
    return True


def require_pooch() -> None:
    try:
        import pooch  # noqa: F401
    except ImportError as problem:
        raise UserError(
            'pooch, which downloads public corpora, is not installed; pip install "emo-ssl[audio]" and run again.'
        ) from problem


# Terms


def terms(corpus: PublicCorpus) -> str:
    return (
        f"{corpus.title}\n"
        f"  by           {corpus.authors}\n"
        f"  file         {corpus.file}, about {corpus.megabytes} MB, from {corpus.page}\n"
        f"  licence      {corpus.licence}\n"
        f"  not allowed  {corpus.not_allowed}\n"
        f"  cite         {corpus.cite}"
    )


def agree(corpus: PublicCorpus, accepted: bool) -> None:
    print(terms(corpus), flush=True)
    if accepted:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UserError(f"{corpus.name}: its terms are shown above; run again with --accept-terms if you accept them.")
    try:
        answer = input("Do you accept these terms? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise UserError(f"{corpus.name}: its terms were not accepted, nothing was downloaded.")


# Download


def fill(folder: Path, corpus: PublicCorpus) -> None:
    empty(folder)
    try:
        require_space(folder, int(corpus.megabytes * MEGABYTE))
        address, checksum = look_up(corpus)
        archive = folder / corpus.file
        download(corpus, address, checksum, archive)
        write_json(folder / SOURCE, {**asdict(corpus), "address": address, "checksum": checksum})
        unpack(
            archive, folder, corpus.most_files, int(corpus.most_megabytes * MEGABYTE), f"compare it with {corpus.page}"
        )
        archive.unlink()
    except BaseException:
        empty(folder)
        raise


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in (STATE, LOCK):
            path.unlink()


def look_up(corpus: PublicCorpus) -> tuple[str, str]:
    """(address, checksum such as "md5:0123…") of the corpus's file, from the record that its DOI leads to."""
    import requests
    from pooch.downloaders import REQUESTS_HEADERS, doi_to_repository

    def refuse(response, *args, **kwargs):  # pooch itself takes an error page for a record
        response.raise_for_status()

    found = SimpleNamespace(registry={})  # the one part of a Pooch that is filled
    try:
        repository = doi_to_repository(
            corpus.doi, headers=REQUESTS_HEADERS, timeout=TIMEOUT, hooks={"response": refuse}
        )
        repository.populate_registry(found)
        address = repository.download_url(corpus.file) if corpus.file in found.registry else ""
    except requests.RequestException as problem:
        raise network_failure(corpus, corpus.page, problem) from problem
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise failure(corpus, corpus.page, "the archive's record has no list of files that pooch can read") from problem
    if not address:
        raise failure(corpus, corpus.page, f"the archive's record has no file {corpus.file}")
    checksum = str(found.registry[corpus.file])
    if not re.fullmatch(r"(md5|sha1|sha256|sha512):[0-9a-fA-F]{32,}", checksum):
        raise failure(corpus, corpus.page, f"the archive's record gives no checksum of {corpus.file}")
    return address, checksum


def download(corpus: PublicCorpus, address: str, checksum: str, path: Path) -> None:
    import pooch
    import requests
    from pooch.downloaders import REQUESTS_HEADERS

    kind, _, expected = checksum.partition(":")
    with atomic_path(path) as temporary:
        try:
            with Progress("downloading", corpus.megabytes, "MB") as bar, contextlib.ExitStack() as answers:

                def close_in_the_end(answer, *args, **kwargs):  # pooch leaves the connection open after an interrupt
                    answers.callback(answer.close)

                downloader = pooch.HTTPDownloader(
                    Meter(bar), CHUNK, headers=REQUESTS_HEADERS, timeout=TIMEOUT, hooks={"response": close_in_the_end}
                )
                downloader(address, str(temporary), None)
        except requests.RequestException as problem:
            raise network_failure(corpus, address, problem) from problem
        actual = pooch.file_hash(str(temporary), alg=kind)
        if actual != expected.lower():
            raise failure(corpus, address, f"what came has {kind} {actual} where the archive's record says {expected}")


class Meter:
    """What pooch expects of a progress bar, drawn by ours in megabytes."""

    def __init__(self, bar: Progress):
        self.bar = bar

    @property
    def total(self) -> float:
        return self.bar.total

    @total.setter
    def total(self, size: int) -> None:
        if size:  # 0: the server does not say
            self.bar.total = size / MEGABYTE

    def update(self, size: int) -> None:
        # pooch counts its last piece as a full one
        self.bar.advance(min(size / MEGABYTE, max(self.bar.total - self.bar.done, 0)))

    def reset(self) -> None:
        self.bar.done = 0.0

    def close(self) -> None:
        """The block that opened the bar closes it."""


def network_failure(corpus: PublicCorpus, address: str, problem: Exception) -> UserError:
    address = getattr(getattr(problem, "request", None), "url", None) or address
    return failure(corpus, address, what_happened(problem))


def what_happened(problem: Exception) -> str:
    import requests
    from urllib3.exceptions import MaxRetryError

    match problem:
        case requests.HTTPError():
            return f"the server answered {problem.response.status_code} {problem.response.reason}"
        case requests.Timeout():
            return f"no answer within {TIMEOUT} seconds"
        case requests.exceptions.SSLError():
            return "the server's certificate was not accepted"
        case requests.ConnectionError() if problem.args and isinstance(problem.args[0], MaxRetryError):
            return "the server cannot be reached from here"
        case requests.ConnectionError() | requests.exceptions.ChunkedEncodingError():
            return "the connection was cut"
        case requests.exceptions.JSONDecodeError():
            return "the answer is not a record of the archive"
    return f"the request failed ({problem})"


def failure(corpus: PublicCorpus, address: str, what: str) -> UserError:
    return UserError(
        f"{address}: {what}, nothing was kept; try again later, or download {corpus.file} by hand from {corpus.page} "
        f"and give the zip to `emo-ssl corpus record`."
    )
