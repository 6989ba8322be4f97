"""A public corpus from its archive: the terms first, then a verified download, which is unpacked.

Where the file lies and what its checksum is come from the archive's own record, read by pooch; neither stands here. A
folder that was not filled to the end is marked as unfinished, and the next run begins again.
"""

import shutil
import sys
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

from emo_ssl.utils.io import LOCK, STATE, OutputFolder, UserError, require_space, write_json

KIND, SOURCE = "download", "source.json"
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)  # of a zip or its member


@dataclass(frozen=True)
class PublicCorpus:
    name: str
    doi: str
    file: str  # a zip, by its name in the archive's record
    megabytes: int  # of the file and of what is in it, about
    terms: str  # shown before anything is asked of the archive


RAVDESS = PublicCorpus(
    name="ravdess",
    doi="10.5281/zenodo.1188976",
    file="Audio_Speech_Actors_01-24.zip",
    megabytes=800,
    terms="""\
RAVDESS, Ryerson Audio-Visual Database of Emotional Speech and Song: the speech of 24 actors, audio only
  by           Steven R. Livingstone and Frank A. Russo, 2018
  file         Audio_Speech_Actors_01-24.zip, about 208 MB, from https://doi.org/10.5281/zenodo.1188976
  licence      CC BY-NC-SA 4.0, https://creativecommons.org/licenses/by-nc-sa/4.0/
  not allowed  commercial use, use without naming the authors, passing on an adaptation under another licence
  cite         Livingstone SR, Russo FA (2018), PLoS ONE 13(5): e0196391, https://doi.org/10.1371/journal.pone.0196391""",
)
CORPORA = {corpus.name: corpus for corpus in (RAVDESS,)}


def fetch(name: str, output: Path | str, accept_terms: bool = False) -> Path:
    """The folder with the unpacked corpus. A complete one is left as it is, without a question or a request."""
    if name not in CORPORA:
        raise UserError(f"{name}: no corpus of this name can be fetched; there is {', '.join(CORPORA)}.")
    corpus = CORPORA[name]
    with OutputFolder(output, KIND, {"corpus": corpus.name, "doi": corpus.doi, "file": corpus.file}) as out:
        if not out.complete:
            agree(corpus, accept_terms)
            empty(out.path)  # of what a killed run left
            try:
                fill(out.path, corpus)
            except BaseException:
                empty(out.path)
                raise
            out.finish()
    return out.path


def agree(corpus: PublicCorpus, accepted: bool) -> None:
    print(corpus.terms, flush=True)
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


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name not in (STATE, LOCK):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def fill(folder: Path, corpus: PublicCorpus) -> None:
    """Download the zip as the archive's record describes it, verify it by the checksum that stands there, unpack it."""
    try:
        import pooch
        import requests
    except ImportError as problem:
        raise UserError(
            'pooch, which downloads public corpora, is not installed; pip install "emo-ssl[audio]" and run again.'
        ) from problem
    require_space(folder, corpus.megabytes * 1_000_000)
    pooch.get_logger().setLevel("WARNING")
    record = pooch.create(folder, f"doi:{corpus.doi}")
    try:
        record.load_registry_from_doi()
        checksum = record.registry[corpus.file]
        downloader = pooch.DOIDownloader(progressbar=sys.stderr.isatty(), chunk_size=1 << 16)
        record.fetch(corpus.file, processor=pooch.Unzip(extract_dir="."), downloader=downloader)
    except (requests.RequestException, AttributeError, KeyError, TypeError, ValueError, *UNREADABLE) as problem:
        reason = f"{type(problem).__name__}: {problem}"
        raise UserError(
            f"https://doi.org/{corpus.doi}: the download failed, nothing was kept ({reason}); try again later, or get "
            f"{corpus.file} by hand from there and give the zip to `emo-ssl corpus record`."
        ) from problem
    write_json(folder / SOURCE, {**asdict(corpus), "checksum": checksum})
    (folder / corpus.file).unlink()
