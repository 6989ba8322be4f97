"""Fetching a public corpus, from a server on this computer that answers as the archive does."""

import gc
import hashlib
import io
import json
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from builders import contents

from emo_ssl import cli
from emo_ssl.corpora import fetch as fetching
from emo_ssl.corpora.fetch import RAVDESS, SOURCE, fetch
from emo_ssl.utils.io import STATE, OutputFolder, UserError

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
RECORD = f"/api/records/{RAVDESS.doi.rpartition('.')[2]}"
FILE = f"/files/{RAVDESS.file}"
CLIPS = {"Actor_01/a.wav": b"one" * 50_000, "Actor_02/b.wav": b"two", "Actor_02/empty.wav": b""}


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return stream.getvalue()


GOOD = zipped({"Actor_01/": b"", **CLIPS})


class Archive:
    """An HTTP server of one record with one file; `answers` gives what is sent for each path."""

    def __init__(self):
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        archive = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                archive.asked.append(self.path)
                status, body = archive.answers.get(self.path, (404, b"gone"))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def offer(self, content: bytes, **changed) -> None:
        """The file with its record, in the shape that Zenodo's API answers today."""
        record = {
            "key": RAVDESS.file,
            "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
            "links": {"self": self.address + FILE},
        }
        self.answers[RECORD] = (200, json.dumps({"id": 1, "files": [record | changed]}).encode())
        self.answers[FILE] = (200, content)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def archive(monkeypatch):
    """The archive, and pooch's own reading of it: only the hop over doi.org and the API's host are replaced."""
    downloaders = pytest.importorskip("pooch.downloaders")
    served = Archive()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(
        downloaders, "doi_to_url", lambda doi, **_: f"https://zenodo.org/records/{doi.rpartition('.')[2]}"
    )
    monkeypatch.setattr(downloaders.ZenodoRepository, "base_api_url", f"{served.address}/api/records")
    yield served
    served.close()
    gc.collect()  # here, where the warning of a connection that pooch left open is ignored


def command(output: Path, *more: str) -> int:
    return cli.main(["corpus", "fetch", "ravdess", "-o", str(output), *more])


def unpacked(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(folder).items() if name not in (STATE, SOURCE)}


def refusal(tmp_path: Path) -> str:
    """The sentence with which a fetch ends; nothing is left of it."""
    with pytest.raises(UserError) as caught:
        fetch(RAVDESS, tmp_path / "out", accept_terms=True)
    assert list(tmp_path.iterdir()) == []
    return str(caught.value)


def test_the_folder_holds_the_clips_and_where_they_come_from(archive, tmp_path, monkeypatch, capsys):
    archive.offer(GOOD)
    out = tmp_path / "deep" / "out"
    assert command(out, "--accept-terms") == 0
    assert unpacked(out) == CLIPS
    source = json.loads((out / SOURCE).read_text())
    assert source["checksum"] == "md5:" + hashlib.md5(GOOD).hexdigest()
    assert source["terms"] == RAVDESS.terms and source["doi"] == RAVDESS.doi
    printed = capsys.readouterr().out
    assert RAVDESS.terms in printed and f"emo-ssl corpus record {out} --recipe ravdess" in printed
    before, asked = contents(tmp_path), list(archive.asked)
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert command(out) == 0  # neither the terms nor the archive are asked for again
    assert archive.asked == asked and contents(tmp_path) == before
    assert "licence" not in capsys.readouterr().out


# --- terms


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terms_accepted_at_a_terminal(archive, tmp_path, monkeypatch, capsys):
    archive.offer(GOOD)
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
    archive.offer(GOOD)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert command(tmp_path / "out") == 2
    printed = capsys.readouterr()
    assert printed.err == f"emo-ssl: {sentence}\n" and RAVDESS.terms in printed.out
    assert archive.asked == [] and list(tmp_path.iterdir()) == []


def test_unknown_corpus_and_missing_pooch(tmp_path, monkeypatch, capsys):
    assert cli.main(["corpus", "fetch", "moon", "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.endswith("moon: no corpus of this name can be fetched; there is ravdess.\n")
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert command(tmp_path / "out", "--accept-terms") == 2
    assert 'pip install "emo-ssl[audio]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# --- failures of the network and of the archive


@pytest.mark.parametrize(
    ("path", "answer", "what"),
    [
        (FILE, (200, GOOD[:-1] + b"!"), hashlib.md5(GOOD).hexdigest()),
        (FILE, (404, b""), "404 Client Error"),
        (RECORD, (500, b"<html>busy</html>"), "JSONDecodeError"),
        (RECORD, (200, b'{"id": 1}'), "KeyError: 'files'"),
        (RECORD, (200, b'{"id": 1, "files": []}'), f"KeyError: '{RAVDESS.file}'"),
        (None, (200, GOOD[:-30]), "BadZipFile"),
    ],
)
def test_a_failed_download_is_one_sentence_and_leaves_nothing(archive, tmp_path, path, answer, what):
    archive.offer(GOOD if path else answer[1])  # of the last one the checksum holds
    archive.answers[path] = answer
    sentence = refusal(tmp_path)
    assert sentence.startswith(f"{RAVDESS.page}: the download failed, nothing was kept") and what in sentence
    assert "or download Audio_Speech_Actors_01-24.zip by hand" in sentence and "\n" not in sentence
    archive.offer(GOOD)
    assert unpacked(fetch(RAVDESS, tmp_path / "out", accept_terms=True)) == CLIPS  # the next run is none the worse


# --- what was there before


def test_what_a_killed_run_left_is_begun_again(archive, tmp_path):
    archive.offer(GOOD)
    out, config = tmp_path / "out", {"corpus": RAVDESS.name, "doi": RAVDESS.doi, "file": RAVDESS.file}
    with OutputFolder(out, fetching.KIND, config):
        (out / "Actor_09").mkdir()
        (out / "Actor_09" / "half.wav").write_bytes(b"half")
    assert out.exists()
    assert unpacked(fetch(RAVDESS, out, accept_terms=True)) == CLIPS


def test_a_full_disk_is_seen_before_the_work(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "MEGABYTE", 1e18)
    assert "the disk is full" in refusal(tmp_path) and archive.asked == []
