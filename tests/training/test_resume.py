"""A run that is stopped or killed, and goes on, ends as one that never was."""

import dataclasses
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_runs import assert_same_ending, ending, in_folder, stop_after, tiny_config

from keras_simplepose.training import callbacks
from keras_simplepose.training.checkpoints import Checkpoint, CheckpointFolder, read_checkpoint, write_checkpoint
from keras_simplepose.training.run_state import RunState, go_on, locked
from keras_simplepose.training.trainer import train
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.signals import Interrupted


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A run that has ended, uninterrupted."""
    config = tiny_config(tmp_path_factory.mktemp("tiny"), checkpoint_every="2")
    train(config)
    return config


@pytest.fixture
def copy(config, tmp_path):
    """The ended run's configuration, in a copy of its folder."""
    shutil.copytree(config.run.workdir, tmp_path / "run")
    return in_folder(config, tmp_path / "run")


def steps_of(config):
    checkpoint, _ = CheckpointFolder(Path(config.run.workdir)).newest()
    return checkpoint.record["identity"]["steps"]


def test_a_run_stopped_within_an_epoch_goes_on_to_the_same_bits(config, tmp_path, monkeypatch, capsys):
    steps, other = steps_of(config), in_folder(config, tmp_path, checkpoint_every="1000", picture_count=2)
    with monkeypatch.context() as patch:
        stop_after(patch, steps, signal.SIGINT)  # All workers agree on it in the step after.
        with pytest.raises(Interrupted, match=f"SIGINT after step {steps + 2} of {3 * steps}; the same") as caught:
            train(other)
    assert caught.value.signal == signal.SIGINT
    assert CheckpointFolder(tmp_path).newest()[0].step == steps + 2
    train(other)
    assert f"going on after step {steps + 2} of" in capsys.readouterr().out
    assert_same_ending(ending(tmp_path), ending(Path(config.run.workdir)))


def test_a_run_stopped_within_an_evaluation_does_it_anew(config, tmp_path, monkeypatch):
    other = in_folder(config, tmp_path, checkpoint_every="1min")

    def stop(*_, **__):
        signal.raise_signal(signal.SIGTERM)

    steps, paths = steps_of(config), CheckpointFolder(tmp_path).paths
    with monkeypatch.context() as patch:
        patch.setattr("keras_simplepose.training.trainer.evaluate_predictor", stop)
        patch.setattr(RunState, "seconds_since_save", lambda _: 61)  # Of the minute between two checkpoints.
        with pytest.raises(Interrupted, match=f"after step {steps} of"):
            train(other)
    assert [path.stem[-1] for path in paths()] == [str(steps), str(steps - 1)]
    train(other)
    assert_same_ending(ending(tmp_path), ending(Path(config.run.workdir)))


def test_more_epochs_go_on_and_fewer_are_refused(copy, config):
    def with_epochs(count):
        return dataclasses.replace(copy, optimization=dataclasses.replace(copy.optimization, epochs=count))

    with pytest.raises(UserError, match="3 epochs are done; epochs is 2"):
        train(with_epochs(2))
    assert [row["epoch"] for row in train(with_epochs(4)).rows] == [0, 1, 2, 3]


def test_other_options_and_other_persons_are_refused_unless_forced(copy):
    def changed(**run):
        data = dataclasses.replace(copy.data, maximum_persons=4)
        return dataclasses.replace(copy, data=data, run=dataclasses.replace(copy.run, **run))

    with pytest.raises(UserError, match="other options: maximum_persons was 0, is 4; .* resume=force"):
        train(changed())
    assert len(train(changed(resume="force")).rows) == 3
    checkpoint, _ = CheckpointFolder(Path(copy.run.workdir)).newest()
    others = {"data": {"training": "others", "validation": checkpoint.record["identity"]["data"]["validation"]}}
    with pytest.raises(UserError, match="holds a run with other training persons"):
        go_on(None, checkpoint, others, Path("run"), "on")


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(copy, config, capsys):
    folder = CheckpointFolder(Path(copy.run.workdir))
    newest, before, *_ = folder.paths()
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)
    train(copy)
    output = capsys.readouterr().out
    assert f"{newest}: is damaged" in output and "going on from the one before" in output
    assert f"going on after step {int(before.stem.removeprefix('step-'))} of" in output
    assert_same_ending(ending(Path(copy.run.workdir)), ending(Path(config.run.workdir)))
    for path in folder.paths():
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"none of the \d checkpoints is whole"):
        train(copy)


def test_the_newest_and_the_best_checkpoints_are_kept(tmp_path):
    folder = CheckpointFolder(tmp_path, keep=2)
    for step in range(6):
        folder.save(Checkpoint(step, {}, [np.arange(step)]), best_step=1 if step else None)
    assert [read_checkpoint(path).step for path in folder.paths()] == [5, 4, 1]
    assert read_checkpoint(folder.paths()[0]).arrays[0].tolist() == [0, 1, 2, 3, 4]


def test_any_damage_to_a_checkpoint_is_found(tmp_path):
    """Every bit that matters: what can be read after all is what was written."""
    random = np.random.default_rng(0)
    arrays = [random.random((3, 5), np.float32), np.array(7), random.random(0)]
    path = tmp_path / "step-000000000007.npz"
    write_checkpoint(path, Checkpoint(7, {"progress": {}}, arrays))
    whole = path.read_bytes()
    found = 0
    for number in range(400):
        damaged = bytearray(whole)
        place = int(random.integers(len(whole)))
        if number % 4:
            damaged[place] ^= 1 << int(random.integers(8))
        else:
            del damaged[place:]
        path.write_bytes(damaged)
        try:
            checkpoint = read_checkpoint(path)
        except UserError as error:
            found += 1
            assert str(path) in str(error) and "\n" not in str(error)
        else:
            assert checkpoint.step == 7
            assert all(map(np.array_equal, checkpoint.arrays, arrays))
    assert found > 250


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.save(Checkpoint(1, {}, [np.zeros(10)]), None)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(UserError, match="cannot write .*: File too large; free space"):
            folder.save(Checkpoint(2, {}, [np.zeros(100_000)]), None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert [path.name for path in folder.folder.iterdir()] == ["step-000000000001.npz"]
    assert read_checkpoint(folder.paths()[0]).step == 1


def test_a_second_process_is_refused_and_leftovers_of_killed_ones_go(tmp_path):
    with locked(tmp_path), pytest.raises(UserError, match="another process is training in it"), locked(tmp_path):
        pass
    (tmp_path / ".best-abcdefgh").mkdir()
    (tmp_path / ".mine-abcdefgh").mkdir()
    (tmp_path / "checkpoints" / ".step-000000000001-abcdefgh").mkdir(parents=True)
    with locked(tmp_path):
        CheckpointFolder(tmp_path).clean()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", ".mine-abcdefgh", "checkpoints"]
    assert not list((tmp_path / "checkpoints").iterdir())


KILLS, KILLED_EPOCHS = 20, 60
RUN = """
import dataclasses, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from small_runs import in_folder, tiny_config
from keras_simplepose.training.trainer import train
config = in_folder(tiny_config(Path(sys.argv[2])), sys.argv[3], checkpoint_every="2")
train(dataclasses.replace(config, optimization=dataclasses.replace(config.optimization, epochs=int(sys.argv[4]))))
"""


def start(folder, workdir):
    """A run in a process of its own, once it trains."""
    command = [sys.executable, "-c", RUN, str(Path(__file__).parents[1]), folder, workdir, KILLED_EPOCHS]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        if line.startswith("training tiny"):
            break
    return process


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_in_the_same_bits(tmp_path):
    """As the two runs are processes of their own, this also shows that a seed decides everything on the CPU."""
    tiny_config(tmp_path)
    whole = start(tmp_path, tmp_path / "whole")
    output, _ = whole.communicate(timeout=900)
    assert whole.returncode == 0, output
    random, kills, steps = np.random.default_rng(), 0, []
    folder = CheckpointFolder(tmp_path / "killed")
    while True:
        before, process = folder.paths(), start(tmp_path, tmp_path / "killed")
        if kills < KILLS:
            # Every fourth one while the step is compiled or the first ones are made; the others after that.
            while kills % 4 and folder.paths() == before and process.poll() is None:
                time.sleep(0.01)
            time.sleep(random.uniform(0, 1.5))
            process.kill()
        output, _ = process.communicate(timeout=900)
        steps.append(int(max(folder.paths(), default=Path("-0")).stem.split("-")[1]))
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, output
        kills += 1
    print(f"{kills} kills, after steps {steps}")
    assert kills >= KILLS / 2 and len(set(steps)) > kills / 2, "the run was over too early"
    assert_same_ending(ending(tmp_path / "whole"), ending(tmp_path / "killed"))


def test_rows_that_no_two_runs_share_are_in_a_table_of_their_own(config):
    workdir = Path(config.run.workdir)
    assert (workdir / "timings.csv").read_text().startswith("epoch,seconds,data_wait_share")
    assert not set(callbacks.TIMINGS) & set((workdir / "curves.csv").read_text().splitlines()[0].split(","))
