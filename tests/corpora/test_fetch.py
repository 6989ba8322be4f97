"""Fetching a public corpus: pooch downloads and unpacks for us; terms, refusals and what is left are ours."""

import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from builders import contents

from emo_ssl import cli
from emo_ssl.corpora import fetch as fetching
from emo_ssl.corpora.fetch import DOI, FILE, NAME, SOURCE, TERMS, fetch
from emo_ssl.utils.io import STATE, OutputFolder, UserError

requests = pytest.importorskip("requests")
CLIPS = {"Actor_01/a.wav": b"one" * 50_000, "Actor_02/b.wav": b"two", "Actor_02/empty.wav": b""}


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return stream.getvalue()


GOOD = zipped({"Actor_01/": b"", **CLIPS})


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


@pytest.fixture
def archive(monkeypatch):
    """What the archive answers: its record's registry, then the file or an exception; and how often it was asked."""
    pooch = pytest.importorskip("pooch")
    answers = SimpleNamespace(registry={FILE: md5(GOOD)}, content=GOOD, asked=0)

    def read_record(self):
        answers.asked += 1
        self.registry = dict(answers.registry)

    def download(self, url, output_file, pooch, check_only=False):
        if isinstance(answers.content, Exception):
            raise answers.content
        Path(output_file).write_bytes(answers.content)

    monkeypatch.setattr(pooch.Pooch, "load_registry_from_doi", read_record)
    monkeypatch.setattr(pooch.DOIDownloader, "__call__", download)
    return answers


def command(output: Path, *more: str) -> int:
    return cli.main(["corpus", "fetch", "ravdess", "-o", str(output), *more])


def unpacked(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(folder).items() if name not in (STATE, SOURCE)}


def test_the_folder_holds_the_clips_and_where_they_come_from(archive, tmp_path, monkeypatch, capsys):
    out = tmp_path / "deep" / "out"
    assert command(out, "--accept-terms") == 0
    assert unpacked(out) == CLIPS
    source = json.loads((out / SOURCE).read_text())
    assert source["checksum"] == md5(GOOD)
    assert source["terms"] == TERMS and source["doi"] == DOI
    printed = capsys.readouterr().out
    assert TERMS in printed and f"emo-ssl corpus record {out} --recipe ravdess" in printed
    before = contents(tmp_path)
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert command(out) == 0  # neither the terms nor the archive are asked for again
    assert archive.asked == 1 and contents(tmp_path) == before
    assert "licence" not in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terms_accepted_at_a_terminal(archive, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Terminal("Yes\n"))
    assert command(tmp_path / "out") == 0
    assert unpacked(tmp_path / "out") == CLIPS
    printed = capsys.readouterr().out
    assert printed.index("CC BY-NC-SA 4.0") < printed.index("Do you accept")


@pytest.mark.parametrize(
    ("stdin", "sentence"),
    [
        (Terminal(""), "ravdess: its terms were not accepted, nothing was downloaded."),
        (io.StringIO("y\n"), "ravdess: its terms are shown above; run again with --accept-terms if you accept them."),
    ],
)
def test_without_consent_nothing_is_asked_of_the_archive(archive, tmp_path, monkeypatch, capsys, stdin, sentence):
    monkeypatch.setattr(sys, "stdin", stdin)
    assert command(tmp_path / "out") == 2
    printed = capsys.readouterr()
    assert printed.err == f"emo-ssl: {sentence}\n" and TERMS in printed.out
    assert archive.asked == 0 and list(tmp_path.iterdir()) == []


def test_unknown_corpus_and_missing_pooch(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="moon: no corpus of this name can be fetched; there is ravdess"):
        fetch("moon", tmp_path / "out")
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(UserError, match=r'pip install "emo-ssl\[audio\]"'):
        fetch("ravdess", tmp_path / "out", accept_terms=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("registry", "content", "what"),
    [
        ({FILE: md5(GOOD)}, GOOD[:-1] + b"!", "ValueError"),
        ({FILE: md5(GOOD)}, requests.ConnectionError("no network"), "ConnectionError: no network"),
        ({}, GOOD, f"KeyError: '{FILE}'"),
        ({FILE: md5(GOOD[:-30])}, GOOD[:-30], "BadZipFile"),
    ],
)
def test_a_failed_download_is_one_sentence_and_leaves_nothing(archive, tmp_path, registry, content, what):
    archive.registry, archive.content = registry, content
    with pytest.raises(UserError) as caught:
        fetch("ravdess", tmp_path / "out", accept_terms=True)
    sentence = str(caught.value)
    assert sentence.startswith(f"https://doi.org/{DOI}: the download failed, nothing was kept ({what}")
    assert "or get Audio_Speech_Actors_01-24.zip by hand" in sentence and "\n" not in sentence
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_begun_again(archive, tmp_path):
    out, config = tmp_path / "out", {"corpus": NAME, "doi": DOI, "file": FILE}
    with OutputFolder(out, fetching.KIND, config):
        (out / "Actor_09").mkdir()
        (out / "Actor_09" / "half.wav").write_bytes(b"half")
    assert out.exists()
    assert unpacked(fetch("ravdess", out, accept_terms=True)) == CLIPS
