"""A file, pipe or device that results go to: opened once, locked, and never left with half of a result in it."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

from heatstream.errors import SinkError

__all__ = ["OutputFile", "lock_file", "same_place", "write_trouble", "writes_to_stdout"]

READER_SECONDS = 5.0
"""How long a named pipe waits for somebody who opens it to read."""

SYNC_SECONDS = 1.0
"""A file is brought to the disk itself this often, so that a power failure takes no more than that."""

_STANDARD_STREAMS = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")


class OutputFile:
    """Where a sink writes.

    ``-``, ``/dev/stdout`` and ``/dev/fd/N``, which is what a shell's ``>(command)`` stands for, are streams that are
    open already: they are written on and neither emptied nor opened anew. A named pipe is opened once and waits a few
    seconds for its reader. A regular file belongs to one writer at a time; what it held stays until the first result
    comes, and without results it is as it was, or gone if it was not there.

    Args:
        path: what the results go to.
        shown: what messages call it; the path when left out.

    Raises:
        SinkError: it cannot be written, nobody reads the pipe, or another run writes this file.
    """

    def __init__(self, path: Path, *, shown: Path | None = None) -> None:
        self.path = path
        self._shown = path if shown is None else shown
        self._created = False
        self._begun = False
        self._end = 0
        self._tail = b""
        self._dirty = False
        self._sync_error: OSError | None = None
        self._closing = threading.Event()
        self._syncing: threading.Thread | None = None
        try:
            self._descriptor = self._open()
            mode = os.fstat(self._descriptor).st_mode
        except OSError as error:
            raise write_trouble(self._shown, error) from None
        self._regular = stat.S_ISREG(mode)
        # A stream that somebody else opened is written on from where it stands.
        self.seekable = self._regular and _descriptor_of(path) is None
        if self.seekable:
            try:
                lock_file(self._descriptor, self._shown)
            except SinkError:
                os.close(self._descriptor)
                raise

    @property
    def size(self) -> int:
        """How many bytes were written that are to stay."""
        return self._end

    def append(self, data: bytes, tail: bytes = b"") -> None:
        """Write at the end, whole or not at all.

        Args:
            data: what is to stay.
            tail: what closes the file as it is now; the next data take its place. Streams get it in the end.

        Raises:
            SinkError: there is no room, or whatever reads it went away; what was written before is still whole.
        """
        before, self._tail = self._tail, tail
        try:
            self.write_at(self._end, data + tail if self.seekable else data)
        except SinkError:
            self._tail = before
            if self.seekable:
                self.cut(self._end, before)
            raise
        self._end += len(data)

    def write_at(self, place: int, data: bytes) -> None:
        """Write at a place of a seekable file, or at the end of a stream.

        Raises:
            SinkError: as of :meth:`append`; a part of it may have been written.
        """
        try:
            self._begin()
            if self._sync_error is not None:
                raise self._sync_error
            start = os.fstat(self._descriptor).st_size
            done = 0
            try:
                while done < len(data):
                    rest = memoryview(data)[done:]
                    if self.seekable:
                        done += os.pwrite(self._descriptor, rest, place + done)
                    else:
                        done += os.write(self._descriptor, rest)
            except OSError:
                if self._regular and not self.seekable and os.fstat(self._descriptor).st_size == start + done:
                    os.ftruncate(self._descriptor, start)  # `> file` has whole results too
                raise
            self._dirty = True
        except OSError as error:
            raise write_trouble(self._shown, error) from None

    def cut(self, size: int, tail: bytes = b"") -> None:
        """Shorten the file after something went wrong, and close it with ``tail``; trouble with that is not told."""
        try:
            os.ftruncate(self._descriptor, size)
            os.pwrite(self._descriptor, tail, size)
        except OSError:
            return

    def close(self) -> Path | None:
        """Finish; harmless when repeated.

        Returns:
            The path, if a file with results is there now; None for streams and where nothing was written.

        Raises:
            SinkError: the last results did not reach the disk, or the file was deleted meanwhile.
        """
        if self._closing.is_set():
            return None
        self._closing.set()
        if self._syncing is not None:
            self._syncing.join()
        try:
            if self._begun and not self.seekable:
                os.write(self._descriptor, self._tail)
            deleted = os.fstat(self._descriptor).st_nlink == 0
            if self._created and not self._begun and not deleted:
                self.path.resolve().unlink(missing_ok=True)
        except OSError as error:
            raise write_trouble(self._shown, error) from None
        finally:
            os.close(self._descriptor)
        if self._sync_error is not None:
            raise write_trouble(self._shown, self._sync_error)
        if not self._begun or not self.seekable:
            return None
        if deleted:
            raise SinkError(f"{self.path} was deleted while it was written: run again, and leave it where it is")
        return self.path

    def discard(self) -> None:
        """Leave no file where nothing useful could be written."""
        self._begun = False
        self._created = self.seekable
        self.close()

    def _open(self) -> int:
        descriptor = _descriptor_of(self.path)
        if descriptor is not None:
            if descriptor == 1 and sys.__stdout__ is None:
                raise OSError(errno.EBADF, "")  # closed by the parent, and filled by ours
            return os.dup(descriptor)
        if self.path.is_dir():
            raise SinkError(f"{self.path} is a folder: give the name of a file in it")
        flags = os.O_CLOEXEC if hasattr(os, "O_CLOEXEC") else 0
        if self.path.is_fifo():
            return self._open_pipe(flags)
        if self.path.exists() and not self.path.is_file():
            return os.open(self.path, os.O_WRONLY | flags)
        flags |= os.O_RDWR | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(self.path, flags | os.O_CREAT | os.O_EXCL, 0o666)
            self._created = True
        except FileExistsError:  # or a link that leads nowhere yet
            self._created = not self.path.exists()
            descriptor = os.open(self.path, flags | os.O_CREAT, 0o666)
        return descriptor

    def _open_pipe(self, flags: int) -> int:
        deadline = time.monotonic() + READER_SECONDS
        while True:
            try:
                descriptor = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | flags)
                os.set_blocking(descriptor, True)
                return descriptor
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
            if time.monotonic() > deadline:
                raise SinkError(
                    f"nobody reads the pipe {self.path}: start what reads it first, for example `cat {self.path}`"
                )
            time.sleep(0.02)

    def _begin(self) -> None:
        """Make room for the first results."""
        if self._begun:
            return
        self._begun = True
        if self.seekable:
            os.ftruncate(self._descriptor, 0)
            self._syncing = threading.Thread(target=self._sync_each_second, name="heatstream-sync", daemon=True)
            self._syncing.start()

    def _sync_each_second(self) -> None:
        sync = getattr(os, "fdatasync", os.fsync)
        last = False
        while not last:
            last = self._closing.wait(SYNC_SECONDS)
            if self._dirty:
                self._dirty = False
                try:
                    sync(self._descriptor)
                except OSError as error:
                    self._sync_error = error


def lock_file(file: int | BinaryIO, path: Path) -> None:
    """Make sure that this is the only writer of a file; the lock goes with the file's descriptor.

    Some file systems, and Windows, have no such locks: there nobody is refused.

    Raises:
        SinkError: another writer holds it.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SinkError(f"another run is writing {path}: give each run a file of its own, or end the other") from None
    except OSError:
        return


def same_place(one: Path, other: Path) -> bool:
    """Whether two names, existing or not, stand for the same file: by links, too."""
    try:
        return os.path.samestat(_stat(one), _stat(other))
    except (OSError, ValueError):
        pass
    try:
        return one.resolve() == other.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links
        return False


def writes_to_stdout(path: Path) -> bool:
    """Whether what is written to this path lands in the standard output."""
    if _descriptor_of(path) == 1:
        return True
    try:
        target, output = path.stat(), os.fstat(1)
    except (OSError, ValueError):
        return False
    return not stat.S_ISCHR(target.st_mode) and os.path.samestat(target, output)


def write_trouble(path: Path, error: OSError) -> SinkError:
    """One sentence for what the system says about a file that could not be written."""
    name = "the standard output" if _descriptor_of(path) == 1 else str(path)
    if error.errno == errno.ENOSPC:
        return SinkError(f"the disk is full, {name} ends here: make room or write elsewhere")
    if error.errno == getattr(errno, "EDQUOT", None):
        return SinkError(f"the disk quota is used up, {name} ends here: make room or write elsewhere")
    if error.errno == errno.EFBIG:
        return SinkError(
            f"{name} may not grow further and ends here: the file system or `ulimit -f` limits the size of a file; "
            "write elsewhere"
        )
    if error.errno == errno.EPIPE:
        return SinkError(f"what reads {name} has ended, so the results end here: run again with a reader that stays")
    if error.errno == errno.ENAMETOOLONG:
        return SinkError(f"{name[:40]}... is too long a name for a file: give a shorter one")
    if error.errno == errno.ENOENT and not path.parent.is_dir():  # /proc is one in which nothing can be made
        return SinkError(f"{name} cannot be written, there is no folder {path.parent}: make it first")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return SinkError(f"{name} cannot be written ({reason}): choose another place")


def _descriptor_of(path: Path) -> int | None:
    """The descriptor that a name such as ``-`` or ``/dev/fd/3`` stands for, None for all other names."""
    text = str(path)
    if text in _STANDARD_STREAMS:
        return _STANDARD_STREAMS[text]
    match = _DESCRIPTOR.fullmatch(text)
    return int(match[1]) if match else None


def _stat(path: Path) -> os.stat_result:
    descriptor = _descriptor_of(path)
    return path.stat() if descriptor is None else os.fstat(descriptor)
