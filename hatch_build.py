"""Build step: compile `csrc/skinny.c` into the package where there is a C compiler.

Without one the package is installed all the same; products then run in NumPy (`sensorium/core/skinny.py`).
"""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE, LIBRARY = "csrc/skinny.c", "src/sensorium/core/skinny.bin"
# A sum may be taken in any order: so the compiler can use vector units that the source has no form for.
FLAGS = (
    *("-O3", "-std=gnu11", "-fPIC", "-shared", "-pthread"),
    *("-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math", "-fno-math-errno"),
)


class CompileKernel(BuildHookInterface[Any]):
    """The `custom` hook of pyproject.toml."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and put the library into the wheel; a wheel with it is for one platform, for any Python."""
        root = Path(self.root)
        library = root / LIBRARY
        library.unlink(missing_ok=True)
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            self.app.display_warning("no C compiler: decoding runs in NumPy, which is slower")
            return
        unfinished = library.with_suffix(f".{os.getpid()}.part")
        command = [*compiler.split(), *FLAGS, str(root / SOURCE), "-o", str(unfinished)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            unfinished.unlink(missing_ok=True)
            reason = getattr(error, "stderr", None) or error
            self.app.display_warning(f"the kernel was not compiled, decoding runs in NumPy, which is slower: {reason}")
            return
        unfinished.replace(library)
        build_data["artifacts"].append(f"/{LIBRARY}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
