"""Writing files and folders: at every moment the old or the new stands, and nothing of anyone else's is lost."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there, and nothing that a killed process left is removed
    fcntl = None  # type: ignore[assignment]

LOCK = "aezoo.lock"
"""The name of the file that a process holds while it writes beside it."""
_SUFFIX = ".aezoo"
_RANDOM = 8  # characters that `tempfile` puts between prefix and suffix


def files(folder: Path) -> list[str]:
    """Return all that is in a folder but folders, relative to it."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def refuse_working_directory(path: Path) -> None:
    """Checks that a folder may be replaced, as the one that the process works in may not."""
    here = Path.cwd()
    if path in (here, *here.parents):
        raise ValueError(f"{path} is the folder that this process works in, or one around it: name one inside it.")


def check(path: str | os.PathLike[str], foreign: Callable[[Path], Iterable[str]] = files) -> Path:
    """Raise now what `atomic_write` would raise after a long computation; change nothing.

    Args:
        path: As of `atomic_write`.
        foreign: As of `atomic_write`.

    Returns:
        The absolute path.

    Raises:
        FileExistsError: As `atomic_write`.
        ValueError: As `atomic_write`.
        OSError: If nothing can be written there, because the folder is read-only or the name too long.
    """
    path = Path(path).resolve()
    refuse_working_directory(path)
    _refuse(path, path, foreign)
    there = next(folder for folder in path.parents if os.path.lexists(folder))
    with _naming(path):
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        for part in path.relative_to(there).parts:
            with contextlib.suppress(FileNotFoundError):
                os.lstat(there / part)  # a name that the file system does not take is an error of its own
        os.rmdir(tempfile.mkdtemp(prefix=_prefix(path), suffix=_SUFFIX, dir=there))
    return path


@contextmanager
def atomic_write(path: str | os.PathLike[str], foreign: Callable[[Path], Iterable[str]] = files) -> Iterator[Path]:
    """Gives a path to write to; it takes the final name only once all of it is written.

    Until then what stands under that name stays. A folder cannot be replaced in one step: the old one is moved into a
    hidden folder beside it, and where the process is killed before the new one has its name, the next write under this
    name moves it back. That write also removes the hidden folders of killed ones.

    Args:
        path: The final name of a file or folder. A file that is there already is replaced in the end, a folder if it is
            empty or `foreign` finds nothing in it.
        foreign: Returns what is in a folder that nobody asked to replace, by default all of it.

    Raises:
        FileExistsError: If there is a folder with such things in it, or what cannot be replaced by what is written: a
            file by a folder, a folder by a file, or a device.
        ValueError: If it is the folder that the process works in, or one around it.
        OSError: If it cannot be written.
    """
    path = Path(path).resolve()
    refuse_working_directory(path)
    _refuse(path, path, foreign)
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        recover(path)
        workspace, lock = _workspace(path)
    try:
        new = workspace / "new" / path.name
        yield new
        if new.is_file():
            _synchronize(new)
        if path.is_file() and new.is_dir():
            raise FileExistsError(f"{path} is a file, and not a folder: choose another name, or remove it first.")
        if path.is_dir():  # a folder that is not empty cannot be replaced, only moved out of the way
            if not new.is_dir():
                raise FileExistsError(f"{path} is a folder, and not a file: choose another name, or remove it first.")
            _refuse(path, path, foreign)
            os.rename(path, workspace / "old")
            _refuse(workspace / "old", path, foreign)  # again, now that nobody can put anything into it
        os.replace(new, path)
    finally:
        try:
            _settle(workspace, path)
        finally:
            lock.release()


def _refuse(folder: Path, path: Path, foreign: Callable[[Path], Iterable[str]]) -> None:
    """Raises an error where what stands at `path`, now in `folder`, must not be replaced."""
    if folder.is_dir():
        lost = sorted(foreign(folder)) if any(folder.iterdir()) else []
        if lost:
            shown = ", ".join(lost[:3]) + (", ..." if len(lost) > 3 else "")
            raise FileExistsError(
                f"{path} is there already, and has in it what would be lost ({shown}): choose another folder, or "
                "remove it first."
            )
    elif folder.is_file():
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, "The file is write-protected", str(path))
    elif os.path.lexists(folder):
        raise FileExistsError(f"{path} is a device, and not a file or a folder: choose another name.")


# === What killed processes leave ===


def beside(path: Path, purpose: str) -> Path:
    """Return the hidden name beside a path for something that belongs to it, also where its name is very long."""
    return path.with_name(f"{_prefix(path)}{purpose}")


def _prefix(path: Path) -> str:
    name = os.fsencode(path.name)
    return f".{path.name}-" if len(name) <= 200 else f".{hashlib.sha256(name).hexdigest()[:20]}-"


def _workspace(path: Path) -> tuple[Path, Lock]:
    """Makes a hidden folder beside a path, and holds the lock in it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=_SUFFIX, dir=path.parent))
        try:
            lock = hold(folder / LOCK)
            (folder / "new").mkdir()
            return folder, lock
        except FileNotFoundError:
            continue  # another process saw it before it was locked, and took it for a leftover
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def recover(path: Path) -> None:
    """Put back what a killed write of `path` had moved out of the way, and remove its hidden folder.

    Folders of processes that live, on this machine or another that sees the folder, are left alone, and so is what does
    not carry our lock.
    """
    prefix = _prefix(path)
    try:
        names = os.listdir(path.parent)
    except FileNotFoundError:
        return
    for name in names:
        middle = name[len(prefix) : -len(_SUFFIX)]
        if not (name.startswith(prefix) and name.endswith(_SUFFIX) and len(middle) == _RANDOM):
            continue
        folder = path.parent / name
        with contextlib.suppress(OSError):
            if not (folder / LOCK).is_file():
                folder.rmdir()  # of a process that was killed before it had locked it
            else:
                lock = Lock(folder / LOCK, create=False)
                if lock.locked and lock.current:
                    _settle(folder, path)
                lock.release()


def _settle(workspace: Path, path: Path) -> None:
    """Ends a write, in whatever state it is: what was moved away goes back unless the new one is in its place."""
    old, new = workspace / "old", workspace / "new" / path.name
    if os.path.lexists(old):
        if not os.path.lexists(path):
            os.rename(old, path)
        elif os.path.lexists(new):
            return  # somebody else made something under this name: the old is kept where it is
        else:
            os.rename(old, workspace / "rubbish")  # half of it must never be taken for the whole
    shutil.rmtree(workspace, ignore_errors=True)


# === Locks ===


class Lock:
    """A lock file that is held until `release`, or until the process ends, however it ends."""

    def __init__(self, path: Path, create: bool = True):
        self._descriptor: int | None = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o666)
        self.locked = _lock(self._descriptor)
        """Whether it is held; None where the system or the file system has no locks."""
        try:  # and not a file that the process before has removed, once it was done
            self.current = os.path.samestat(os.fstat(self._descriptor), os.stat(path))
        except FileNotFoundError:
            self.current = False

    def release(self) -> None:
        """Lets others hold it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self.release()


def hold(path: Path) -> Lock:
    """Hold a lock file. Where the system or the file system has no locks, it is held at once.

    Raises:
        BlockingIOError: If another process holds it.
        FileNotFoundError: If its folder is not there.
    """
    while True:
        lock = Lock(path)
        if lock.current:
            break
        lock.release()
    if lock.locked is False:
        lock.release()
        raise BlockingIOError(errno.EAGAIN, "Another process holds the lock", str(path))
    return lock


def _lock(descriptor: int) -> bool | None:
    """Returns whether a file could be locked, None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


# === Of the file system ===


def _synchronize(file: Path) -> None:
    """Has a file reach the disk before it takes the place of another: a power cut must not leave it empty."""
    descriptor = os.open(file, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Has errors of the system name the path that was asked for, and not a hidden one beside it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or errno.EIO), str(path)) from error
