"""Writing files and folders: interrupted, failing, killed, beside what is not ours, and two processes at once."""

import contextlib
import multiprocessing
import os
import random
import signal
import sys

import pytest

from aezoo import _files

FORK = multiprocessing.get_context("fork")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def put(path, text, folder):
    """What a body writes: one file, or a folder of two."""
    if folder:
        path.mkdir()
    for part in (path / "a", path / "b") if folder else (path,):
        part.write_text(text)


def stands(path, folder):
    """The text of what stands there, complete; None where there is nothing."""
    if not path.exists():
        return None
    if not folder:
        return path.read_text()
    assert names(path) == ["a", "b"]
    (text,) = {part.read_text() for part in path.iterdir()}
    return text


def ours(folder):
    return []


def replace(path, folder, text="new"):
    with _files.atomic_write(path, ours) as unfinished:
        put(unfinished, text, folder)


@contextlib.contextmanager
def interrupted(step):
    """Raises KeyboardInterrupt at the nth line that this module's subject executes; yields a list of those lines."""
    seen = []

    def trace(frame, event, argument):
        if frame.f_code.co_filename == _files.__file__ and event in ("line", "return"):
            seen.append(frame.f_lineno)
            if len(seen) == step:
                raise KeyboardInterrupt
        return trace if frame.f_code.co_filename == _files.__file__ or event == "call" else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield seen
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize("there", [False, True], ids=["absent", "there"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an interrupt of a generator's end
def test_an_interrupt_at_any_line_leaves_the_old_or_the_new(folder, there, tmp_path):
    for step in range(1, 1000):
        path = tmp_path / f"{step}" / "name"
        path.parent.mkdir()
        if there:
            put(path, "old", folder)
        with contextlib.suppress(KeyboardInterrupt), interrupted(step) as seen:
            replace(path, folder)
        assert stands(path, folder) in ("new", "old" if there else None), seen[-5:]
        done = len(seen) < step
        replace(path, folder, "next")  # the next write needs no help, and tidies up
        assert stands(path, folder) == "next"
        assert names(path.parent) == ["name"], seen[-5:]
        if done:
            break
    assert 50 < step < 999


CALLS = [(os, "rename"), (os, "replace"), (os, "open"), (os, "fsync"), (os, "rmdir"), (os, "mkdir"), (os, "unlink")]


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_an_error_of_any_call_of_the_system_leaves_the_old_or_the_new(folder, tmp_path, monkeypatch):
    for module, name in CALLS:
        original, failed = getattr(module, name), 0
        for nth in range(1, 40):
            path, count = tmp_path / f"{name} {nth}" / "name", 0
            path.parent.mkdir()
            put(path, "old", folder)

            def failing(*args, original=original, nth=nth, **kwargs):
                nonlocal count
                count += 1
                if count == nth:
                    raise OSError(28, "No space left on device")
                return original(*args, **kwargs)

            with monkeypatch.context() as patch, contextlib.suppress(OSError):
                patch.setattr(module, name, failing)
                replace(path, folder)
            failed += count >= nth
            assert stands(path, folder) in ("old", "new")
            replace(path, folder, "next")
            assert stands(path, folder) == "next"
            if count < nth:
                break
        assert failed or name in ("rename", "rmdir", "fsync") or (folder, name) != (True, "rename")


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_random_interrupts(folder, tmp_path):
    """More of them: AEZOO_INTERRUPTS=5000."""
    path, rng, count = tmp_path / "name", random.Random(0), int(os.environ.get("AEZOO_INTERRUPTS", 100))
    put(path, "0", folder)
    allowed, hit = {"0"}, 0
    for i in range(1, count + 1):
        try:
            with interrupted(rng.randint(1, 90)):
                replace(path, folder, str(i))
            allowed = {str(i)}
        except KeyboardInterrupt:
            allowed.add(str(i))
            hit += 1
        assert stands(path, folder) in allowed
        allowed = {stands(path, folder)}
    assert hit > count / 4
    replace(path, folder, "end")
    assert names(tmp_path) == ["name"]


def in_a_fork(function, *arguments):
    process = FORK.Process(target=function, args=arguments)
    process.start()
    process.join(30)
    return process.exitcode


def killed_at(nth, path, folder):
    """Writes in a process that kills itself at the nth renaming."""
    count = 0

    def kill(original):
        def call(*args, **kwargs):
            nonlocal count
            count += 1
            if count == nth:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        return call

    os.rename, os.replace = kill(os.rename), kill(os.replace)
    replace(path, folder)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_what_a_kill_leaves_is_put_back_and_removed_by_the_next_write_alone(tmp_path):
    path = tmp_path / "name"
    put(path, "old", folder=True)
    assert in_a_fork(killed_at, 1, path, True) == -signal.SIGKILL
    assert stands(path, True) == "old" and len(names(tmp_path)) == 2
    assert in_a_fork(killed_at, 2, path, True) == -signal.SIGKILL  # the old one is out of the way
    assert stands(path, True) is None
    _files.recover(tmp_path / "other")
    assert stands(path, True) is None
    _files.recover(path)
    assert stands(path, True) == "old" and names(tmp_path) == ["name"]


def test_only_dead_folders_of_ours_are_removed(tmp_path):
    path = tmp_path / "name"
    for other in (".name-notes", ".name-abcdefgh.aezoo", ".name-12345678.aezoo", ".other-12345678.aezoo"):
        (tmp_path / other).mkdir()
        (tmp_path / other / "thesis.tex").write_text("")
    (tmp_path / ".other-12345678.aezoo" / _files.LOCK).touch()
    before = names(tmp_path)
    with _files.atomic_write(path) as first:
        first.write_text("first")
        with _files.atomic_write(path) as second:  # another writer of the same, that lives
            second.write_text("second")
        assert path.read_text() == "second" and first.read_text() == "first"
    assert path.read_text() == "first"
    assert names(tmp_path) == sorted([*before, "name"])
    (tmp_path / ".name-12345678.aezoo" / _files.LOCK).touch()
    replace(path, False)
    assert names(tmp_path) == sorted({*before, "name"} - {".name-12345678.aezoo"})


def test_what_is_made_meanwhile_is_kept(tmp_path):
    path = tmp_path / "name"
    with pytest.raises(FileExistsError, match=r"name already exists .* lost \(a, b\)"):
        with _files.atomic_write(path) as unfinished:
            put(unfinished, "new", True)
            put(path, "mine", True)
    assert stands(path, True) == "mine" and names(tmp_path) == ["name"]
    (path / "c").mkdir()
    with pytest.raises(FileExistsError, match="is a folder, not a file"):
        with _files.atomic_write(path, ours) as unfinished:
            unfinished.write_text("a file")


def test_what_comes_into_the_folder_at_the_last_moment_is_kept(tmp_path, monkeypatch):
    path, rename = tmp_path / "name", os.rename
    put(path, "old", True)

    def meanwhile(a, b):
        if a == path:
            (path / "thesis.tex").write_text("of years")
        rename(a, b)

    monkeypatch.setattr(os, "rename", meanwhile)
    with pytest.raises(FileExistsError, match=r"name already exists .* lost \(thesis\.tex\)"):
        with _files.atomic_write(path, lambda folder: {*_files.files(folder)} - {"a", "b"}) as unfinished:
            put(unfinished, "new", True)
    assert names(path) == ["a", "b", "thesis.tex"] and names(tmp_path) == ["name"]


def test_when_somebody_takes_the_name_between_the_two_renames_both_are_kept(tmp_path, monkeypatch):
    path, replaced = tmp_path / "name", os.replace
    put(path, "old", True)

    def meanwhile(a, b):
        put(path, "mine", True)
        replaced(a, b)

    monkeypatch.setattr(os, "replace", meanwhile)
    with pytest.raises(OSError):
        replace(path, True)
    assert stands(path, True) == "mine"
    monkeypatch.undo()
    for _ in range(2):
        (kept,) = tmp_path.glob(".name-*/old")
        assert stands(kept, True) == "old"
        replace(path, True)


def test_devices_and_protected_files_are_refused(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match="pipe is a device"):
        replace(tmp_path / "pipe", False)
    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(PermissionError, match="write-protected"):
        replace(tmp_path / "file", False)
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize("name", ["x" * 255, "é" * 120, "old", "new", _files.LOCK])
def test_names_that_the_file_system_takes(name, tmp_path):
    for text in ("first", "second"):
        replace(tmp_path / name, True, text)
    assert stands(tmp_path / name, True) == "second" and names(tmp_path) == [name]
    assert len(os.fsencode(_files.beside(tmp_path / name, "backup").name)) < 250


def test_check_says_before_what_writing_would_say_after(tmp_path, monkeypatch):
    for path in (tmp_path / ("x" * 256), tmp_path / "absent" / ("x" * 256)):
        with pytest.raises(OSError, match=r"too long.*xxx'"):
            _files.check(path)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file/below"):
        _files.check(tmp_path / "file" / "below")
    put(tmp_path / "folder", "mine", True)
    with pytest.raises(FileExistsError, match=r"lost \(a, b\)"):
        _files.check(tmp_path / "folder")
    assert _files.check(tmp_path / "folder", ours) == tmp_path / "folder"
    monkeypatch.chdir(tmp_path / "folder")
    with pytest.raises(ValueError, match="is the working directory"):
        _files.check("..", ours)
    assert _files.check(tmp_path / "absent" / "below") == tmp_path / "absent" / "below"
    assert names(tmp_path) == ["file", "folder"]

    def read_only(*args, **kwargs):
        raise OSError(30, "Read-only file system", "hidden")

    monkeypatch.setattr("tempfile.mkdtemp", read_only)
    for write in (_files.check, lambda path: replace(path, True)):
        with pytest.raises(OSError, match=r"Read-only file system: .*absent/below"):
            write(tmp_path / "absent" / "below")


def other_process_holds(path):
    with pytest.raises(BlockingIOError):
        _files.hold(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_lock_is_held_by_one_process(tmp_path):
    lock = _files.hold(tmp_path / "lock")
    assert in_a_fork(other_process_holds, tmp_path / "lock") == 0
    lock.release()
    _files.hold(tmp_path / "lock").release()


def test_a_lock_whose_file_was_removed_meanwhile_is_no_lock(tmp_path, monkeypatch):
    path, flock = tmp_path / "lock", _files.fcntl.flock
    seen = []

    def removed(descriptor, operation):
        flock(descriptor, operation)
        if not seen:
            path.unlink()  # by the process that held it until now
        seen.append(descriptor)

    monkeypatch.setattr(_files.fcntl, "flock", removed)
    lock = _files.hold(path)
    assert len(seen) == 2 and lock.current
    lock.release()


@pytest.mark.parametrize("how", ["no module", "no locks on this file system"])
def test_without_locks_nothing_that_may_be_in_use_is_removed(how, tmp_path, monkeypatch):
    def unsupported(descriptor, operation):
        raise OSError(95, "Operation not supported")

    (tmp_path / ".name-12345678.aezoo").mkdir()
    (tmp_path / ".name-12345678.aezoo" / _files.LOCK).touch()
    if how == "no module":
        monkeypatch.setattr(_files, "fcntl", None)
    else:
        monkeypatch.setattr(_files.fcntl, "flock", unsupported)
    replace(tmp_path / "name", True)
    assert stands(tmp_path / "name", True) == "new"
    assert names(tmp_path) == [".name-12345678.aezoo", "name"]


def test_files_lists_links_and_what_is_in_folders(tmp_path):
    put(tmp_path / "c", "x", True)
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    assert _files.files(tmp_path) == ["c/a", "c/b", "link"]
