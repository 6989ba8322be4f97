"""Fetching a public corpus, from a server on this computer that answers as the archive does."""

import hashlib
import io
import json
import stat
import sys
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from builders import contents

from emo_ssl import cli
from emo_ssl.corpora import fetch as fetching
from emo_ssl.corpora import unpack as unpacking
from emo_ssl.corpora.fetch import CORPORA, RAVDESS, SOURCE, UNFINISHED, by_name, fetch, terms
from emo_ssl.utils.io import STATE, OutputFolder, UserError

RECORD = f"/api/records/{RAVDESS.doi.rpartition('.')[2]}"
FILE = f"/files/{RAVDESS.file}"
SMALL = replace(RAVDESS, most_megabytes=1, most_files=5)
CONFIG = {"corpus": RAVDESS.name, "doi": RAVDESS.doi, "file": RAVDESS.file}
CLIPS = {"Actor_01/a.wav": b"one" * 50_000, "Actor_02/b.wav": b"two", "Actor_02/empty.wav": b""}
BY_HAND = "download Audio_Speech_Actors_01-24.zip by hand from https://doi.org/10.5281/zenodo.1188976"


def zipped(members: dict[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return stream.getvalue()


GOOD = zipped({"Actor_01/": b"", **CLIPS})


class Archive:
    """An HTTP server of one record with one file; `answers` says what is given at each path."""

    def __init__(self):
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, bytes, int]] = {}  # path -> status, what is sent, what length is claimed
        self.may_answer = threading.Event()
        self.may_answer.set()
        archive = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                archive.asked.append(self.path)
                archive.may_answer.wait()
                status, body, length = archive.answers.get(self.path, (404, b"gone", 4))
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def give(self, path: str, body: bytes, status: int = 200, claimed: int | None = None) -> None:
        self.answers[path] = (status, body, len(body) if claimed is None else claimed)

    def offer(self, content: bytes, **changed) -> None:
        """The file with its record, in the shape that Zenodo's API answers today."""
        record = {
            "key": RAVDESS.file,
            "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
            "links": {"self": self.address + FILE},
        }
        self.give(RECORD, json.dumps({"id": 1, "files": [record | changed]}).encode())
        self.give(FILE, content)

    def close(self) -> None:
        self.may_answer.set()
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


def command(output: Path, *more: str) -> int:
    return cli.main(["corpus", "fetch", "ravdess", "-o", str(output), *more])


def unpacked(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(folder).items() if name not in (STATE, SOURCE)}


def refusal(archive: Archive, tmp_path: Path, corpus=SMALL) -> str:
    """The sentence with which a fetch ends; nothing is left of it, the finished folder's neighbour included."""
    with pytest.raises(UserError) as caught:
        fetch(corpus, tmp_path / "out", accept_terms=True)
    assert list(tmp_path.iterdir()) == []
    return str(caught.value)


# The way it should go


def test_the_folder_holds_the_clips_and_where_they_come_from(archive, tmp_path, capsys):
    archive.offer(GOOD)
    assert command(tmp_path / "deep" / "out", "--accept-terms") == 0
    out = tmp_path / "deep" / "out"
    assert unpacked(out) == CLIPS
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    source = json.loads((out / SOURCE).read_text())
    assert source["address"] == archive.address + FILE
    assert source["checksum"] == "md5:" + hashlib.md5(GOOD).hexdigest()
    assert source["licence"] == RAVDESS.licence and source["doi"] == RAVDESS.doi
    said = capsys.readouterr()
    assert terms(RAVDESS) in said.out
    assert f"emo-ssl corpus record {out} --recipe ravdess" in said.out
    assert "downloading" in said.err and "unpacking" in said.err


def test_a_second_run_asks_nobody(archive, tmp_path, monkeypatch, capsys):
    archive.offer(GOOD)
    (tmp_path / "out").mkdir()  # an empty folder is as good as none
    assert command(tmp_path / "out", "--accept-terms") == 0
    before, asked = contents(tmp_path), list(archive.asked)
    assert asked == [RECORD, FILE]
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert command(tmp_path / "out") == 0  # neither terms nor pooch are asked for again
    assert archive.asked == asked and contents(tmp_path) == before
    assert "licence" not in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["sha256", "sha512"])
def test_the_record_chooses_the_kind_of_checksum(archive, tmp_path, kind):
    archive.offer(GOOD, checksum=f"{kind}:{hashlib.new(kind, GOOD).hexdigest().upper()}")
    assert unpacked(fetch(SMALL, tmp_path / "out", accept_terms=True)) == CLIPS


def test_both_shapes_of_a_record_are_read(archive):
    archive.offer(GOOD)
    digest = hashlib.md5(GOOD).hexdigest()
    assert fetching.look_up(RAVDESS) == (archive.address + FILE, f"md5:{digest}")
    other = {"id": 77, "files": [{"filename": RAVDESS.file, "checksum": digest}]}
    archive.give(RECORD, json.dumps(other).encode())
    assert fetching.look_up(RAVDESS) == (f"https://zenodo.org/records/77{FILE}?download=1", f"md5:{digest}")


def test_progress_is_counted_in_megabytes(archive, tmp_path, monkeypatch):
    bars = []

    class Seen(fetching.Progress):
        def __exit__(self, *problem):
            bars.append((self.label, self.done, self.total))

    monkeypatch.setattr(fetching, "Progress", Seen)
    monkeypatch.setattr(unpacking, "Progress", Seen)
    content = zipped(CLIPS, zipfile.ZIP_STORED)
    archive.offer(content)
    fetch(SMALL, tmp_path / "out", accept_terms=True)
    size = sum(map(len, CLIPS.values())) / 1e6
    assert bars == [
        ("downloading", pytest.approx(len(content) / 1e6), pytest.approx(len(content) / 1e6)),
        ("unpacking", pytest.approx(size), pytest.approx(size)),
    ]


def test_a_server_that_gives_no_length_leaves_the_known_one():
    with fetching.Progress("downloading", 208, "MB") as bar:
        meter = fetching.Meter(bar)
        meter.total = 0
        assert meter.total == 208
        meter.update(300_000_000)
        assert bar.done == 208  # never beyond the end
        meter.reset()
        assert bar.done == 0


# Terms


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["y\n", "Yes\n"])
def test_terms_accepted_at_a_terminal(archive, tmp_path, monkeypatch, capsys, answer):
    archive.offer(GOOD)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert command(tmp_path / "out") == 0
    assert unpacked(tmp_path / "out") == CLIPS
    said = capsys.readouterr().out
    assert said.index(RAVDESS.licence) < said.index("Do you accept")


@pytest.mark.parametrize(
    ("stdin", "sentence"),
    [
        (Terminal("n\n"), "ravdess: its terms were not accepted, nothing was downloaded."),
        (Terminal("\n"), "ravdess: its terms were not accepted, nothing was downloaded."),
        (Terminal(""), "ravdess: its terms were not accepted, nothing was downloaded."),
        (io.StringIO("y\n"), "ravdess: its terms are shown above; run again with --accept-terms if you accept them."),
        (None, "ravdess: its terms are shown above; run again with --accept-terms if you accept them."),
    ],
)
def test_without_consent_nothing_is_asked_of_the_archive(archive, tmp_path, monkeypatch, capsys, stdin, sentence):
    archive.offer(GOOD)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert command(tmp_path / "out") == 2
    said = capsys.readouterr()
    assert said.err == f"emo-ssl: {sentence}\n"
    assert terms(RAVDESS) in said.out
    assert archive.asked == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=lambda corpus: corpus.name)
def test_terms_say_who_what_and_how_much(corpus):
    said = terms(corpus)
    for part in (corpus.title, corpus.authors, corpus.licence, corpus.not_allowed, corpus.cite, corpus.page):
        assert part and part in said
    assert f"{corpus.megabytes} MB" in said
    assert by_name(corpus.name) is corpus


def test_unknown_corpus_and_missing_pooch(tmp_path, monkeypatch, capsys):
    assert cli.main(["corpus", "fetch", "moon", "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.endswith("moon: no corpus of this name can be fetched; there is ravdess.\n")
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert command(tmp_path / "out", "--accept-terms") == 2
    assert 'pip install "emo-ssl[audio]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# Failures of the network and of the archive


def breaks_checksum(archive):
    archive.give(FILE, GOOD[:-1] + b"!")


def breaks_connection(archive):
    archive.give(FILE, GOOD[: len(GOOD) // 2], claimed=len(GOOD))


def removes_file(archive):
    del archive.answers[FILE]


def removes_record(archive):
    del archive.answers[RECORD]


def refuses_record(archive):
    archive.give(RECORD, b"<html>busy</html>", status=500)


def answers_with_a_page(archive):
    archive.give(RECORD, b"<html>Welcome to our hotel</html>")


def renames_file(archive):
    archive.offer(GOOD, key="Other.zip")


def restricts_record(archive):
    archive.give(RECORD, b'{"id": 1}')


def empties_record(archive):
    archive.give(RECORD, b'{"id": 1, "files": []}')


def lists_nonsense(archive):
    archive.give(RECORD, b"[1]")


def gives_no_checksum(archive):
    archive.offer(GOOD, checksum=None)


def sends_elsewhere(archive):
    archive.offer(GOOD, links={"self": "gopher://127.0.0.1/file"})


@pytest.mark.parametrize(
    ("break_it", "place", "what"),
    [
        (breaks_checksum, FILE, f"where the archive's record says {hashlib.md5(GOOD).hexdigest()}"),
        (breaks_connection, FILE, "the connection was cut"),
        (removes_file, FILE, "the server answered 404 Not Found"),
        (removes_record, RECORD, "the server answered 404 Not Found"),
        (refuses_record, RECORD, "the server answered 500 Internal Server Error"),
        (answers_with_a_page, None, "the answer is not a record of the archive"),
        (renames_file, None, "the archive's record has no file Audio_Speech_Actors_01-24.zip"),
        (restricts_record, None, "the archive's record has no list of files"),
        (empties_record, None, "the archive's record has no file Audio_Speech_Actors_01-24.zip"),
        (lists_nonsense, None, "the archive's record has no list of files"),
        (gives_no_checksum, None, "the archive's record gives no checksum"),
        (sends_elsewhere, None, "the request failed (No connection adapters were found"),
    ],
)
def test_a_failed_download_is_one_sentence_and_leaves_nothing(
    archive, tmp_path, capsys, break_it: Callable[[Archive], None], place, what
):
    archive.offer(GOOD)
    break_it(archive)
    assert command(tmp_path / "out", "--accept-terms") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"emo-ssl: {archive.address + place}: " if place else "emo-ssl: ")
    assert what in said and "nothing was kept; try again later" in said and BY_HAND in said
    assert list(tmp_path.iterdir()) == []
    archive.offer(GOOD)
    assert command(tmp_path / "out", "--accept-terms") == 0  # and the next run is none the worse for it
    assert unpacked(tmp_path / "out") == CLIPS


def test_nobody_listens(archive, tmp_path, monkeypatch):
    from pooch.downloaders import ZenodoRepository

    closed = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    closed.server_close()
    address = f"http://127.0.0.1:{closed.server_port}"
    monkeypatch.setattr(ZenodoRepository, "base_api_url", f"{address}/api/records")
    said = refusal(archive, tmp_path)
    assert said.startswith(f"{address}{RECORD}: the server cannot be reached from here") and BY_HAND in said


def test_nobody_answers(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "TIMEOUT", 0.1)
    archive.may_answer.clear()
    assert refusal(archive, tmp_path).startswith(f"{archive.address}{RECORD}: no answer within 0.1 seconds")


# Archives that cannot be trusted


def linked(name: str, kind: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.create_system = 3  # Unix
    member.external_attr = (kind | 0o777) << 16
    return member


OUTSIDE = "has a name that could lead out of the folder"
NAMES = ["../evil.txt", "a/../../evil.txt", "/evil.txt", "C:evil.txt", "C:\\evil.txt", "..\\evil.txt", "a//evil.txt"]
NAMES += [".. /evil.txt", "./evil.txt", "evil.txt:stream", "a\nb"]


@pytest.mark.parametrize("name", NAMES)
def test_no_member_leaves_the_folder(archive, tmp_path, name):
    archive.offer(zipped({"Actor_01/a.wav": b"fine", name: b"evil"}))
    assert refusal(archive, tmp_path) == (
        f"{RAVDESS.file}: its member {name!r} {OUTSIDE}, nothing was kept; compare it with {RAVDESS.page}."
    )


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"fine": b"", linked("link", stat.S_IFLNK): b"/etc"}, "its member 'link' is a link or a device"),
        ({"fine": b"", linked("pipe", stat.S_IFIFO): b""}, "its member 'pipe' is a link or a device"),
        ({"bomb": bytes(2_000_000)}, "it would become 2 MB where 1 are plenty"),
        ({f"{i}": b"" for i in range(6)}, "it holds 6 members where 5 are plenty"),
        ({}, "it holds no file"),
        ({"Actor_01/": b""}, "it holds no file"),
        ({STATE: b'{"complete": true}'}, "its member 'folder.json' would overwrite another"),
        ({SOURCE: b"{}"}, "its member 'source.json' would overwrite another"),
        ({RAVDESS.file: b""}, f"its member '{RAVDESS.file}' would overwrite another"),
        ({"a": b"", "a/b": b""}, "its member 'a/b' would overwrite another"),
        ({"a": b"", "a/b/c": b""}, "its member 'a/b/c' would overwrite another"),
        ({"a/b": b"", "a": b""}, "its member 'a' would overwrite another"),
    ],
)
def test_what_is_no_corpus_is_refused(archive, tmp_path, members, what):
    archive.offer(zipped(members))
    assert f"{RAVDESS.file}: {what}" in refusal(archive, tmp_path)


def test_what_is_just_within_the_limits_is_taken(archive, tmp_path):
    members = {f"{i}": bytes(200_000) for i in range(5)}
    archive.offer(zipped(members))
    assert unpacked(fetch(SMALL, tmp_path / "out", accept_terms=True)) == members


def lies_about_its_size() -> bytes:
    """A bomb of 2 MB that says in both of its headers that it holds 10 bytes."""
    content = zipped({"bomb": bytes(2_000_000)})
    size = (2_000_000).to_bytes(4, "little")
    assert content.count(size) == 2
    return content.replace(size, (10).to_bytes(4, "little"))


def has_a_flipped_bit() -> bytes:
    content = bytearray(zipped({"a.wav": b"silence"}, zipfile.ZIP_STORED))
    content[content.index(b"silence")] ^= 1
    return bytes(content)


def is_encrypted() -> bytes:
    content = bytearray(zipped({"a.wav": b"silence"}))
    content[6] |= 1  # the flag in the header of the member, and the one in the directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    "content", [b"", b"<html></html>", GOOD[:-30], lies_about_its_size(), has_a_flipped_bit(), is_encrypted()]
)
def test_what_is_not_a_sound_zip_is_refused(archive, tmp_path, content):
    archive.offer(content)
    assert f"{RAVDESS.file}: it is not a readable zip" in refusal(archive, tmp_path)


# Interruptions, and folders that are taken


@pytest.mark.parametrize("module", [fetching, unpacking])
def test_an_interrupt_leaves_nothing_and_the_next_run_completes(archive, tmp_path, monkeypatch, module):
    archive.offer(GOOD)

    class Interrupted(fetching.Progress):
        def advance(self, amount: float = 1, note: str = "") -> None:
            assert any(path.stat().st_size for path in (tmp_path / f"out{UNFINISHED}").iterdir())
            raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(module, "Progress", Interrupted)
        assert command(tmp_path / "out", "--accept-terms") == cli.INTERRUPTED
    assert list(tmp_path.iterdir()) == []
    assert command(tmp_path / "out", "--accept-terms") == 0
    assert unpacked(tmp_path / "out") == CLIPS


@pytest.mark.parametrize("status", [200, 503])
def test_what_a_killed_run_left_is_begun_again(archive, tmp_path, status):
    archive.offer(GOOD)
    left = tmp_path / f"out{UNFINISHED}"
    with OutputFolder(left, fetching.KIND, CONFIG):
        (left / f"{RAVDESS.file}.old").write_bytes(GOOD[:100])
        (left / "Actor_09").mkdir()
        (left / "Actor_09" / "half.wav").write_bytes(b"half")
    assert left.exists() and not (tmp_path / "out").exists()
    archive.give(FILE, GOOD, status=status)
    if status == 200:
        assert unpacked(fetch(SMALL, tmp_path / "out", accept_terms=True)) == CLIPS
        assert not left.exists()
    else:
        assert "the server answered 503" in refusal(archive, tmp_path)


def test_killed_before_the_last_renaming(archive, tmp_path, monkeypatch):
    archive.offer(GOOD)

    def killed(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as during, pytest.raises(KeyboardInterrupt):
        during.setattr(
            fetching.os, "replace", lambda a, b: killed(a, b) if str(b).endswith("out") else Path(a).rename(b)
        )
        fetch(SMALL, tmp_path / "out", accept_terms=True)
    assert not (tmp_path / "out").exists()
    asked = list(archive.asked)
    assert unpacked(fetch(SMALL, tmp_path / "out", accept_terms=True)) == CLIPS
    assert archive.asked == asked  # everything was there already
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("taken", ["out", f"out{UNFINISHED}"])
def test_a_stranger_is_left_alone(archive, tmp_path, taken, capsys):
    (tmp_path / taken).mkdir()
    (tmp_path / taken / "mine").write_bytes(b"mine")
    assert command(tmp_path / "out", "--accept-terms") == 2
    assert f"{taken}: the folder is not empty and emo-ssl did not make it" in capsys.readouterr().err
    assert contents(tmp_path) == {f"{taken}/mine": b"mine"} and archive.asked == []


def test_folders_that_cannot_be_the_output(archive, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(Path("."), "--accept-terms") == 2
    assert "cannot be renamed over; choose one inside it with -o" in capsys.readouterr().err
    (tmp_path / "file").write_bytes(b"")
    assert command(tmp_path / "file", "--accept-terms") == 2
    assert "file: this is a file, not a folder" in capsys.readouterr().err
    with OutputFolder(tmp_path / "half", fetching.KIND, CONFIG):
        (tmp_path / "half" / "a.wav").write_bytes(b"half")
    assert command(tmp_path / "half", "--accept-terms") == 2
    assert "half: an unfinished download lies here; delete the folder" in capsys.readouterr().err
    assert archive.asked == []


def test_a_full_disk_is_seen_before_the_work(archive, tmp_path, monkeypatch):
    archive.offer(GOOD)
    assert "the disk is full" in refusal(archive, tmp_path, replace(SMALL, megabytes=10**12))
    assert archive.asked == []
    needed = []
    monkeypatch.setattr(unpacking, "require_space", lambda folder, size: needed.append(size))
    fetch(SMALL, tmp_path / "out", accept_terms=True)
    assert needed == [sum(map(len, CLIPS.values()))]
