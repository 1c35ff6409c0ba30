"""Run `pip install` with one line of progress: pip says nothing while it compiles llama.cpp for three minutes."""

from __future__ import annotations

import re
import subprocess
import sys
import time

_STEP = re.compile(r"\[(\d+)/(\d+)\]")
_INTERESTING = ("Collecting ", "Downloading ", "Building wheel", "Installing collected", "Successfully installed")


def install(arguments: list[str]) -> int:
    """Install, keep the last lines for the case of a failure, and return pip's exit code."""
    command = [sys.executable, "-m", "pip", "install", "-v", *arguments]
    kept: list[str] = []
    shown, started = 0.0, time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.strip()
            kept = [*kept[-60:], line]
            step = _STEP.search(line)
            if step and time.monotonic() - shown < 5:
                continue
            if step or line.startswith(_INTERESTING):
                shown = time.monotonic()
                text = f"compiling llama.cpp {step[1]} of {step[2]}" if step else line[:100]
                print(f"  {shown - started:4.0f} s  {text}", flush=True)
    if process.returncode:
        print("\n".join(kept))
    return process.returncode


if __name__ == "__main__":
    sys.exit(install(sys.argv[1:]))
