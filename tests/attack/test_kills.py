"""What `make kills` does, on one command: it kills, goes on, sees a difference, and is not done twice."""

import json

import pytest
from attack import kills

GOES_ON = """
import pathlib, time
out = pathlib.Path("out")
out.mkdir(exist_ok=True)
for i in range(20):
    time.sleep(0.02)
    if not (out / f"{i}").exists():
        (out / "half").write_text("x")
        (out / "half").rename(out / f"{i}")
"""
COUNTS_STARTS = GOES_ON.replace("for i", "open(out / 'starts', 'a').write('x')\nfor i")


@pytest.mark.parametrize(("script", "same"), [(GOES_ON, True), (COUNTS_STARTS, False)])
def test_a_killed_command_is_compared_with_one_that_was_not(tmp_path, monkeypatch, script, same):
    def write_inputs(place):
        place.mkdir()
        (place / "work.py").write_text(script)

    monkeypatch.setattr(kills, "write_inputs", write_inputs)
    monkeypatch.setattr(kills, "COMMANDS", {"work": kills.Command(100, "-S work.py"), "other": kills.Command(9, "")})
    found = kills.run(6, tmp_path, {"work"})
    assert found["total"]["kills"] == 6 and found["commands"][0]["command"] == "work"
    assert (found["total"]["same"] == 6) == same
    monkeypatch.setattr(kills, "killed", None)
    assert kills.run(6, tmp_path, {"work"}) == found  # what is done is not done again


def test_times_do_not_count_and_anything_else_does(tmp_path):
    (tmp_path / "out").mkdir()
    command, found = kills.COMMANDS["study"], []
    for content in ('"seconds_of_the_last_start": 3.4, 1', '"seconds_of_the_last_start": 12, 1', '"seconds": 3, 2'):
        (tmp_path / "out" / "a.json").write_text(content)
        found.append(kills.left(command, tmp_path))
    assert found[0] == found[1] != found[2] and list(found[0]) == ["a.json"]


def test_a_command_that_fails_by_itself_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match=r"pretrain corpus.*no such file or folder"):
        kills.ended(kills.COMMANDS["pretrain"], tmp_path)


def test_the_table():
    rows = [("a", 2, True), ("a", 1, False), ("b", 1, True)]
    done = [{"command": name, "trial": i, "kills": n, "same": same} for i, (name, n, same) in enumerate(rows)]
    found = kills.table_of(json.loads(json.dumps(done)))
    assert found["total"] == {"kills": 4, "same": 3} and found["commands"][0] == {"command": "a", "kills": 3, "same": 2}
