"""Resume states: atomic, rotated, verified."""

import shutil
from dataclasses import asdict

import pytest
import torch

from fer_hub import UserError
from fer_hub.atomic_files import remove_temporaries, temporary_beside, write_atomically, write_json
from fer_hub.recipes import TrainConfig
from fer_hub.training import checkpoint, resume


def state(step):
    return {"step": step, "weights": torch.arange(100_000) + step, "record": {}}


def test_the_newest_is_read_and_two_are_kept(tmp_path):
    for step in (1, 2, 10):
        checkpoint.save_state(tmp_path, state(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_00000002.pt", "step_00000010.pt"]
    assert checkpoint.load_last_state(tmp_path)["step"] == 10


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # torch.load itself does not notice
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1000])


def empty(path):
    path.write_bytes(b"")


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("damage", [flip, truncate, empty, zeros])
def test_a_damaged_newest_is_passed_over_aloud(damage, tmp_path, caplog):
    checkpoint.save_state(tmp_path, state(1))
    damage(checkpoint.save_state(tmp_path, state(2)))
    assert checkpoint.load_last_state(tmp_path)["step"] == 1
    assert "step_00000002.pt is damaged" in caplog.text


@pytest.mark.parametrize("with_digest", [True, False], ids=["state", "state of an older version"])
def test_no_flipped_bit_ends_in_another_exception(with_digest, tmp_path):
    """Every fifth byte of a small state: with a digest all are found, but in the digest's own line they do no harm."""
    path = checkpoint.save_state(tmp_path, {"step": 7, "weights": torch.arange(20) + 7, "record": {}})
    if not with_digest:
        torch.save(torch.load(path), path)
    whole = path.read_bytes()
    assert checkpoint.load_state(path)["step"] == 7
    found = 0
    for position in range(0, len(whole), 5):
        data = bytearray(whole)
        data[position] ^= 1 << position % 8
        path.write_bytes(data)
        try:
            loaded = checkpoint.load_state(path)
        except UserError as error:
            found += 1
            assert len(str(error)) < len(str(path)) + 300
        else:
            assert position >= len(whole) - 73 or not with_digest
            if with_digest:
                assert torch.equal(loaded["weights"], torch.arange(20) + 7)
    assert found > 0.1 * len(whole)


def test_damaged_states_of_later_steps_do_not_push_new_ones_out(tmp_path):
    checkpoint.save_state(tmp_path, state(1))
    for step in (20, 30):
        (tmp_path / f"step_{step:08d}.pt").write_bytes(b"damaged")
    assert checkpoint.load_last_state(tmp_path)["step"] == 1
    for step in (2, 3):
        checkpoint.save_state(tmp_path, state(step))
        assert checkpoint.load_last_state(tmp_path)["step"] == step
    assert {path.name for path in tmp_path.iterdir()} == {f"step_000000{step}.pt" for step in ("02", "03", "20", "30")}
    # When the run has passed them, they are no fallback: the older one that can be read is.
    checkpoint.save_state(tmp_path, state(31))
    assert {path.name for path in tmp_path.iterdir()} == {"step_00000003.pt", "step_00000031.pt"}


def test_all_damaged_is_an_error(tmp_path):
    flip(checkpoint.save_state(tmp_path, state(1)))
    with pytest.raises(UserError, match="every checkpoint"):
        checkpoint.load_last_state(tmp_path)


def test_none_where_there_is_none(tmp_path):
    assert checkpoint.load_last_state(tmp_path / "checkpoints") is None
    with pytest.raises(UserError, match="no checkpoint at"):
        checkpoint.load_state(tmp_path / "step_1.pt")


@pytest.mark.parametrize("foreign", [{"conv.weight": torch.zeros(3)}, [1, 2], torch.nn.Linear(2, 2)])
def test_what_another_program_saved_is_refused(foreign, tmp_path):
    torch.save(foreign, tmp_path / "theirs.pt")
    with pytest.raises(UserError, match="theirs.pt is no resume state of FER Hub"):
        checkpoint.load_state(tmp_path / "theirs.pt")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"old": 1})

    def fail(temporary):
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left on device"):
        write_atomically(path, fail)
    assert path.read_text() == '{\n  "old": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


def test_two_writers_of_one_file_never_share_a_temporary_file(tmp_path):
    """The one that starts later ends first; whichever is renamed last is there, whole."""

    def slow(temporary):
        temporary.write_text("slow, ")
        write_atomically(tmp_path / "file", lambda other: other.write_text("fast"))
        with temporary.open("a") as file:
            file.write("and whole")

    write_atomically(tmp_path / "file", slow)
    assert (tmp_path / "file").read_text() == "slow, and whole"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    temporary_beside(tmp_path / "step_00000001.pt").write_text("half")
    for kept in ("notes.tmp", "step_00000001.pt", "step_00000001.pt.deadbeef"):
        (tmp_path / kept).write_text("")
    remove_temporaries(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"notes.tmp", "step_00000001.pt", "step_00000001.pt.deadbeef"}


def test_too_little_space_is_an_error_beforehand(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(UserError, match="the run needs 1 MB"):
        checkpoint.require_space(tmp_path, 10**6)


def test_an_unwritable_folder_is_an_error_beforehand(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to --output_dir"):
        checkpoint.require_space(tmp_path / "file" / "run", 1)


def test_a_damaged_best_that_no_state_holds_is_an_error(tmp_path):
    """States of older versions did not hold the best weights."""
    before = {"config": asdict(TrainConfig()), "global_batch_size": 64, "data": {"fingerprints": {}}, "command": ""}
    before["teachers"] = []
    stopped = {"step": 4, "best": {"epoch": 3}, "record": before}
    with pytest.raises(UserError, match="best weights so far, of epoch 3, are in no checkpoint"):
        resume.goes_on(stopped, dict(before), 20, tmp_path, print)
    assert resume.goes_on(stopped | {"best_weights": {"weight": 0}}, dict(before), 20, tmp_path, print)


def test_a_run_has_the_length_that_it_began_with():
    asked = TrainConfig(recipe="small", num_train_epochs=None)
    assert resume.with_length(asked, None).num_train_epochs == 100
    began = {"record": {"config": {"num_train_epochs": 20, "max_train_steps": 4}}}
    found = resume.with_length(asked, began)
    assert (found.num_train_epochs, found.max_train_steps) == (20, 4)
    assert resume.with_length(TrainConfig(num_train_epochs=3), began).max_train_steps is None


def test_a_calibrated_run_does_not_go_on(tmp_path):
    resume.require_uncalibrated(tmp_path)  # nothing is there yet
    (tmp_path / "best").mkdir()
    for temperature in (None, 1.25):
        write_json(tmp_path / "best" / "config.json", {"temperature": temperature})
        if temperature is None:
            resume.require_uncalibrated(tmp_path)
    with pytest.raises(UserError, match="was calibrated"):
        resume.require_uncalibrated(tmp_path)
