from __future__ import annotations

import os
import stat
import subprocess
import sys
import time

from app.store import PrivateFolder, remove_abandoned


def test_the_folder_is_private_and_goes(tmp_path):
    private = PrivateFolder(tmp_path)
    assert stat.S_IMODE(private.path.stat().st_mode) == 0o700
    private.upload_path("id", "a.jpg").write_bytes(b"x")
    private.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_left_is_removed(tmp_path):
    code = (
        "import pathlib; from app.store import PrivateFolder; "
        f"print(PrivateFolder(pathlib.Path({str(tmp_path)!r})).path)"
    )
    child = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    left = child.stdout.strip()
    assert os.path.isdir(left)
    ours = PrivateFolder(tmp_path)
    assert not os.path.exists(left)
    assert ours.path.is_dir()
    remove_abandoned(tmp_path)
    assert ours.path.is_dir()
    ours.remove()


def test_links_and_other_folders_are_left_alone(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "fakeexplain-app-999999999-x").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "fakeexplain-app-notes").mkdir()
    remove_abandoned(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "elsewhere",
        "fakeexplain-app-999999999-x",
        "fakeexplain-app-notes",
    ]


def test_sweep_deletes_old_files_only(tmp_path):
    private = PrivateFolder(tmp_path)
    old, new = private.path / "gradio" / "h" / "old.jpg", private.path / "gradio" / "new.jpg"
    old.parent.mkdir()
    for path in (old, new):
        path.write_bytes(b"x")
    for path in (old, old.parent):
        os.utime(path, (time.time() - 100, time.time() - 100))
    assert private.sweep(50) == 1
    assert not old.exists()
    assert not old.parent.exists()
    assert new.exists()
    private.remove()


def test_sweep_leaves_a_batch_alone_that_is_worked_on(tmp_path):
    private = PrivateFolder(tmp_path)
    for batch, written in (("running", 0), ("left", 100)):
        folder = private.path / "batches" / batch
        (folder / "pictures").mkdir(parents=True)
        for path, age in ((folder / "pictures" / "a.jpg", 100), (folder / "rows.json", written)):
            path.write_bytes(b"x")
            os.utime(path, (time.time() - age, time.time() - age))
        for path in (folder / "pictures", folder):
            os.utime(path, (time.time() - 100, time.time() - 100))
    assert private.sweep(50) == 1
    assert (private.path / "batches" / "running" / "pictures" / "a.jpg").is_file()
    assert not (private.path / "batches" / "left").exists()
    private.remove()


def test_sweep_leaves_a_folder_alone_that_was_just_made(tmp_path):
    private = PrivateFolder(tmp_path)
    (private.path / "gradio" / "new").mkdir()
    private.sweep(50)
    assert (private.path / "gradio" / "new").is_dir()
    private.remove()
