"""Builds .venv from requirements.lock with uv, by nothing but Python's standard library.

Does nothing when the lock file has not changed since. Works where Debian has left ``ensurepip``
out of Python: then uv's wheel is fetched from PyPI and unpacked by hand.
"""

import hashlib
import io
import json
import platform
import stat
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import urljoin

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
STAMP = VENV / "built-from"
UV = VENV / "bin" / "uv"


def main() -> None:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit(f"newslake needs Python 3.11 to 3.13, this is {platform.python_version()}")
    wanted = hashlib.sha256(LOCK.read_bytes() + (ROOT / "setup.cfg").read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    print("Building .venv from requirements.lock", flush=True)
    if not UV.exists():
        install_uv()
    uv("pip", "sync", "--quiet", "--require-hashes", str(LOCK))
    uv("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    STAMP.write_text(wanted)


def uv(*words: str) -> None:
    subprocess.run([UV, *words, "--python", VENV / "bin" / "python"], check=True)


def install_uv() -> None:
    version = locked_version("uv")
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=False)
    if made.returncode == 0:
        pip = [VENV / "bin" / "python", "-m", "pip", "install", "--quiet", f"uv=={version}"]
        subprocess.run(pip, check=True)
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", VENV], check=True)
    UV.write_bytes(uv_binary(version))
    UV.chmod(UV.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def uv_binary(version: str) -> bytes:
    # The simple repository API's JSON form: https://peps.python.org/pep-0691/
    index = "https://pypi.org/simple/uv/"
    wanted = {"Accept": "application/vnd.pypi.simple.v1+json"}
    with urllib.request.urlopen(urllib.request.Request(index, headers=wanted)) as answer:
        files = json.load(answer)["files"]
    machine = {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    marks = ("macosx", "arm64" if machine == "aarch64" else machine)
    if sys.platform == "linux":
        marks = ("manylinux", machine)
    names = {f["filename"]: f["url"] for f in files if f["filename"].startswith(f"uv-{version}-")}
    name = next(n for n in sorted(names) if all(mark in n for mark in marks))
    with urllib.request.urlopen(urljoin(index, names[name])) as answer:
        body = answer.read()
    if hashlib.sha256(body).hexdigest() not in LOCK.read_text():
        sys.exit(f"{name} is not the file that requirements.lock pins")
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return archive.read(f"uv-{version}.data/scripts/uv")


def locked_version(name: str) -> str:
    for line in LOCK.read_text().splitlines():
        if line.startswith(f"{name}=="):
            return line.removeprefix(f"{name}==").split()[0]
    sys.exit(f"{name} is not pinned in requirements.lock")


if __name__ == "__main__":
    main()
