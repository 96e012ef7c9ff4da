"""Atomic writes of files and folders: a path always holds the old or the new version, and foreign files are kept."""

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
except ImportError:  # Windows: there are no locks, and leftovers of killed processes are not removed
    fcntl = None  # type: ignore[assignment]

LOCK = "aezoo.lock"
"""Name of the lock file that a process holds while it writes beside it."""
_SUFFIX = ".aezoo"
_RANDOM = 8  # characters that `tempfile` puts between prefix and suffix


def files(folder: Path) -> list[str]:
    """Return all files and links in a folder and its subfolders, relative to the folder."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def refuse_working_directory(path: Path) -> None:
    """Refuse to replace the working directory of the process, or a folder around it."""
    here = Path.cwd()
    if path in (here, *here.parents):
        raise ValueError(f"{path} is the working directory, or a folder around it: name a folder inside it.")


def check(path: str | os.PathLike[str], foreign: Callable[[Path], Iterable[str]] = files) -> Path:
    """Raise now what `atomic_write` would raise after a long computation; change nothing.

    Args:
        path: As in `atomic_write`.
        foreign: As in `atomic_write`.

    Returns:
        The absolute path.

    Raises:
        FileExistsError: As `atomic_write`.
        ValueError: As `atomic_write`.
        OSError: If the path cannot be written, because the folder is read-only or the name too long.
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
                os.lstat(there / part)  # raises another error for a name that the file system does not accept
        os.rmdir(tempfile.mkdtemp(prefix=_prefix(path), suffix=_SUFFIX, dir=there))
    return path


@contextmanager
def atomic_write(path: str | os.PathLike[str], foreign: Callable[[Path], Iterable[str]] = files) -> Iterator[Path]:
    """Yield a temporary path to write to, and give it the final name once the write is complete.

    Until then the old file or folder stays in place. A folder cannot be replaced in one step: the old one is moved into
    a hidden folder beside it. If the process is killed before the new one has its name, the next write to this path
    moves the old one back. That write also removes the hidden folders of killed writes.

    Args:
        path: Final name of a file or folder. An existing file is replaced; an existing folder is replaced if it is
            empty or `foreign` finds nothing in it.
        foreign: Function that returns the files in a folder that must not be replaced; by default all files.

    Raises:
        FileExistsError: If the folder has foreign files, or the path is a file and a folder was written, a folder and a
            file was written, or a device.
        ValueError: If the path is the working directory, or a folder around it.
        OSError: If the path cannot be written.
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
            raise FileExistsError(f"{path} is a file, not a folder: choose another name, or remove it first.")
        if path.is_dir():  # a folder that is not empty cannot be replaced, only moved out of the way
            if not new.is_dir():
                raise FileExistsError(f"{path} is a folder, not a file: choose another name, or remove it first.")
            _refuse(path, path, foreign)
            os.rename(path, workspace / "old")
            _refuse(workspace / "old", path, foreign)  # again, now that no other process can add files
        os.replace(new, path)
    finally:
        try:
            _settle(workspace, path)
        finally:
            lock.release()


def _refuse(folder: Path, path: Path, foreign: Callable[[Path], Iterable[str]]) -> None:
    """Raise an error if the file or folder of the name `path`, which is now at `folder`, must not be replaced."""
    if folder.is_dir():
        lost = sorted(foreign(folder)) if any(folder.iterdir()) else []
        if lost:
            shown = ", ".join(lost[:3]) + (", ..." if len(lost) > 3 else "")
            raise FileExistsError(
                f"{path} already exists and has files that would be lost ({shown}): choose another folder, or remove "
                "it first."
            )
    elif folder.is_file():
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, "The file is write-protected", str(path))
    elif os.path.lexists(folder):
        raise FileExistsError(f"{path} is a device, not a file or folder: choose another name.")


# === Leftovers of killed processes ===


def beside(path: Path, purpose: str) -> Path:
    """Return a hidden name beside a path for something that belongs to it, also if its name is very long."""
    return path.with_name(f"{_prefix(path)}{purpose}")


def _prefix(path: Path) -> str:
    name = os.fsencode(path.name)
    return f".{path.name}-" if len(name) <= 200 else f".{hashlib.sha256(name).hexdigest()[:20]}-"


def _workspace(path: Path) -> tuple[Path, Lock]:
    """Create a hidden folder beside a path, and hold the lock in it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=_SUFFIX, dir=path.parent))
        try:
            lock = hold(folder / LOCK)
            (folder / "new").mkdir()
            return folder, lock
        except FileNotFoundError:
            continue  # another process removed the folder as a leftover before it was locked
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def recover(path: Path) -> None:
    """Restore a file or folder that a killed write of `path` had moved away, and remove its hidden folder.

    Hidden folders of running processes, on this machine or another one that shares the folder, are left alone, and so
    are folders without the lock file.
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
                folder.rmdir()  # its process was killed before it could lock the folder
            else:
                lock = Lock(folder / LOCK, create=False)
                if lock.locked and lock.current:
                    _settle(folder, path)
                lock.release()


def _settle(workspace: Path, path: Path) -> None:
    """Finish a write in any state: restore the old file or folder unless the new one is in its place."""
    old, new = workspace / "old", workspace / "new" / path.name
    if os.path.lexists(old):
        if not os.path.lexists(path):
            os.rename(old, path)
        elif os.path.lexists(new):
            return  # another program created something of this name: keep the old one where it is
        else:
            os.rename(old, workspace / "rubbish")  # a half-removed folder must not be mistaken for the old one
    shutil.rmtree(workspace, ignore_errors=True)


# === Locks ===


class Lock:
    """A lock file that is held until `release`, or until the process ends for any reason."""

    def __init__(self, path: Path, create: bool = True):
        self._descriptor: int | None = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o666)
        self.locked = _lock(self._descriptor)
        """True if the lock is held, False if another process holds it, None if the file system has no locks."""
        try:  # the path may no longer be this file, if the previous process removed it
            self.current = os.path.samestat(os.fstat(self._descriptor), os.stat(path))
        except FileNotFoundError:
            self.current = False

    def release(self) -> None:
        """Release the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self.release()


def hold(path: Path) -> Lock:
    """Hold a lock file; without locks in the system or the file system, this always succeeds.

    Args:
        path: The lock file, which is created if necessary.

    Raises:
        BlockingIOError: If another process holds the lock.
        FileNotFoundError: If the folder does not exist.
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
    """Return whether a file could be locked, or None if there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


# === File system ===


def _synchronize(file: Path) -> None:
    """Flush a file to the disk before it replaces another, so that a power cut does not leave it empty."""
    descriptor = os.open(file, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Make errors of the system name the requested path instead of a hidden one beside it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or errno.EIO), str(path)) from error
