"""From a ``.cu`` file to a cubin: the one loader of CUDA sources, for the product and for the tests.

A cubin is machine code of one architecture, so that what runs is what was tested. It is kept in the user's cache folder
under a key of everything that went into it; a damaged cache file is compiled anew. Compiling needs no GPU.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from heatstream.errors import KernelError, SinkError
from heatstream.extras import require
from heatstream.files import replacing
from heatstream.kernels.cuda.nvrtc import nvrtc

__all__ = ["Cubin", "compile_cubin"]

SOURCES = Path(__file__).parent / "src"

# --fmad=false: a product and a sum are rounded one after the other, as NumPy rounds them in the reference.
# --ptxas-options=-v: the log tells each kernel's registers and memory (resources.py).
OPTIONS = ("--std=c++17", "--fmad=false", "--ptxas-options=-v")


@dataclass(frozen=True)
class Cubin:
    """A compiled source.

    Attributes:
        code: the ELF file that the driver loads, for example with ``cupy.cuda.function.Module().load(code)``.
        log: what the compiler said: warnings, and what every kernel uses.
        architecture: compute capability times ten, for example 90.
    """

    code: bytes
    log: str
    architecture: int


def compile_cubin(
    source: str | Path,
    *,
    architecture: int,
    defines: Mapping[str, str | int] | None = None,
    options: Sequence[str] = (),
) -> Cubin:
    """Compile a CUDA source, or take it from the cache.

    Args:
        source: a file, or the name of one in this package without its ending, for example ``"peaks"``. It may include
            files beside it, and ``cuda_fp16.h``.
        architecture: compute capability times ten: 75, 80, 86, 87, 89, 90, 100, 110, 120.
        defines: macros, defined in front of the source.
        options: of NVRTC, after our own.

    Raises:
        KernelError: the compiler refuses the source.
        MissingExtraError: there is no NVRTC.
    """
    path = source if isinstance(source, Path) else SOURCES / f"{source}.cu"
    text = "".join(f"#define {name} {value}\n" for name, value in (defines or {}).items())
    text += f'#line 1 "{path.name}"\n' + path.read_text(encoding="utf-8")
    arguments = [f"--gpu-architecture=sm_{architecture}", *OPTIONS, *options]
    compiler = nvrtc()

    key = hashlib.sha256(json.dumps([text, arguments, compiler.version, _included(path)]).encode()).hexdigest()
    cached = _cache_folder() / f"{path.stem}-sm_{architecture}-{key[:32]}.cubin"
    found = _read(cached, architecture)
    if found is not None:
        return found

    folders = [f"--include-path={folder}" for folder in (path.parent.resolve(), *compiler.include)]
    code, log = compiler.compile(text, path.name, [*arguments, *folders])
    if code is None:
        error = re.search(r"^.*\berror\b.*$", log, re.MULTILINE)
        reason = error[0].strip() if error else log.strip().partition("\n")[0]
        raise KernelError(f"{path} does not compile for sm_{architecture}: {reason}")
    cubin = Cubin(code, log, architecture)
    _write(cached, cubin)
    return cubin


def _included(path: Path) -> dict[str, str]:
    """The files beside a source that it includes, and those that they include, by name."""
    found: dict[str, str] = {}
    waiting = [path]
    while waiting:
        for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', waiting.pop().read_text(encoding="utf-8"), re.MULTILINE):
            included = path.parent / name
            if name not in found and included.exists():
                found[name] = included.read_text(encoding="utf-8")
                waiting.append(included)
    return found


# ---- the cache: a file is the SHA-256 of the rest, the log's length in eight bytes, the log, the code


def _cache_folder() -> Path:
    folders = require("platformdirs", extra="gpu", purpose="caching compiled kernels")
    return Path(folders.user_cache_path("heatstream")) / "kernels"


def _read(path: Path, architecture: int) -> Cubin | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, body = content[:32], content[32:]
    if hashlib.sha256(body).digest() != digest:
        return None
    end = 8 + int.from_bytes(body[:8], "little")
    return Cubin(body[end:], body[8:end].decode(), architecture)


def _write(path: Path, cubin: Cubin) -> None:
    """Whole or not at all. A folder that cannot be written costs the next start its time, no result."""
    log = cubin.log.encode()
    body = len(log).to_bytes(8, "little") + log + cubin.code
    with contextlib.suppress(OSError, SinkError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(hashlib.sha256(body).digest() + body)
