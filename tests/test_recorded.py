"""What is kept of a study: the same table, nothing that names a place, and the same bytes every time."""

import gzip
from dataclasses import replace

import pytest
from training import PRETRAIN, STUDY, write_acted

from emo_ssl.cli import main
from emo_ssl.errors import UserError
from emo_ssl.files import read_json
from emo_ssl.pretrain import pretrain
from emo_ssl.recorded import TABLE, keep, results
from emo_ssl.study import RESULTS, study

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("acted")
    segments = write_acted(folder / "corpus")
    runs = [folder / f"run{fold}" for fold in segments.folds]
    for fold, run in zip(segments.folds, runs, strict=True):
        pretrain([segments], run, PRETRAIN, fold=fold, device="cpu")
    return study(segments, runs, folder / "study", replace(STUDY, arms=("scratch", "pretrained", "constants")), "cpu")


def test_what_is_kept(finished, tmp_path, capsys):
    with pytest.raises(UserError, match="finish the study"):
        keep(finished, tmp_path / "early", "")
    assert not (tmp_path / "early").exists()
    words = ["evidence", str(finished), "--coding", "0,1,3,3"]
    assert main([*words, "--keep", str(tmp_path / "a"), "--command-that-repeats", "again"]) == 0
    assert main([*words, "--keep", str(tmp_path / "b"), "--command-that-repeats", "again"]) == 0
    capsys.readouterr()
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == ["codings.json", "evidence.json", "provenance.json", TABLE]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert gzip.decompress((tmp_path / "a" / TABLE).read_bytes()) == (finished / RESULTS).read_bytes()
    story = read_json(tmp_path / "a" / "provenance.json")
    assert story["command"] == "again" and story["seconds_of_all_chunks"] >= 0
    assert str(finished.parent) not in (tmp_path / "a" / "provenance.json").read_text()


def test_both_tables_are_read_alike(finished, tmp_path):
    main(["evidence", str(finished), "--keep", str(tmp_path)])
    assert results(finished).equals(results(tmp_path))
    assert len(results(tmp_path)) > 0
    with pytest.raises(UserError, match="no such file; expected the folder of a recorded or finished study"):
        results(tmp_path / "nowhere")
