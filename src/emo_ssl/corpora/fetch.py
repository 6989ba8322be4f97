"""A public corpus from its archive: the terms first, then a verified download, which is unpacked.

Where the file lies and what its checksum is come from the archive's own record, read by pooch; neither stands here. A
folder that was not filled to the end is marked as unfinished, and the next run begins again.
"""

import shutil
import sys
from pathlib import Path

from emo_ssl.utils.io import LOCK, STATE, OutputFolder, UserError, require_space, write_json
from emo_ssl.utils.npz import UNREADABLE

KIND, SOURCE = "download", "source.json"
NAME, DOI, FILE = "ravdess", "10.5281/zenodo.1188976", "Audio_Speech_Actors_01-24.zip"
MEGABYTES = 800  # of the file and of what is in it, about
TERMS = """\
RAVDESS, Ryerson Audio-Visual Database of Emotional Speech and Song: the speech of 24 actors, audio only
  by           Steven R. Livingstone and Frank A. Russo, 2018
  file         Audio_Speech_Actors_01-24.zip, about 208 MB, from https://doi.org/10.5281/zenodo.1188976
  licence      CC BY-NC-SA 4.0, https://creativecommons.org/licenses/by-nc-sa/4.0/
  not allowed  commercial use, use without naming the authors, passing on an adaptation under another licence
  cite         Livingstone SR, Russo FA (2018), PLoS ONE 13(5): e0196391, https://doi.org/10.1371/journal.pone.0196391"""


def fetch(name: str, output: Path | str, accept_terms: bool = False) -> Path:
    """The folder with the unpacked corpus. A complete one is left as it is, without a question or a request."""
    if name != NAME:
        raise UserError(f"{name}: no corpus of this name can be fetched; there is {NAME}.")
    with OutputFolder(output, KIND, {"corpus": NAME, "doi": DOI, "file": FILE}) as out:
        if not out.complete:
            agree(accept_terms)
            empty(out.path)  # of what a killed run left
            try:
                fill(out.path)
            except BaseException:
                empty(out.path)
                raise
            out.finish()
    return out.path


def agree(accepted: bool) -> None:
    print(TERMS, flush=True)
    if accepted:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UserError(f"{NAME}: its terms are shown above; run again with --accept-terms if you accept them.")
    try:
        answer = input("Do you accept these terms? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise UserError(f"{NAME}: its terms were not accepted, nothing was downloaded.")


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name not in (STATE, LOCK):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def fill(folder: Path) -> None:
    """Download the zip as the archive's record describes it, verify it by the checksum that stands there, unpack it."""
    try:
        import pooch
        import requests
    except ImportError as problem:
        raise UserError(
            'pooch, which downloads public corpora, is not installed; pip install "emo-ssl[audio]" and run again.'
        ) from problem
    require_space(folder, MEGABYTES * 1_000_000)
    pooch.get_logger().setLevel("WARNING")
    record = pooch.create(folder, f"doi:{DOI}")
    try:
        record.load_registry_from_doi()
        checksum = record.registry[FILE]
        downloader = pooch.DOIDownloader(progressbar=sys.stderr.isatty(), chunk_size=1 << 16)
        record.fetch(FILE, processor=pooch.Unzip(extract_dir="."), downloader=downloader)
    except (requests.RequestException, AttributeError, TypeError, *UNREADABLE) as problem:
        reason = f"{type(problem).__name__}: {problem}"
        raise UserError(
            f"https://doi.org/{DOI}: the download failed, nothing was kept ({reason}); try again later, or get "
            f"{FILE} by hand from there and give the zip to `emo-ssl corpus record`."
        ) from problem
    write_json(folder / SOURCE, {"name": NAME, "doi": DOI, "file": FILE, "terms": TERMS, "checksum": checksum})
    (folder / FILE).unlink()
