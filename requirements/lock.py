"""Write the locks: every package that a checkout needs, pinned, with the hash of each wheel that may be taken for it.

locked.txt is for all that a checkout does; bench.txt adds what only `make bench` needs, and is resolved on top of the
first, so that both fit into one .venv. pip itself resolves and looks up, so its own configuration says where; no
address gets into a file. One run chooses the newest versions that pyproject.toml allows; then one run for each Python
and platform names the wheel taken there.

    python3 requirements/lock.py [locked.txt] [bench.txt]
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {
    "Linux x86_64": ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "Linux aarch64": (
        "manylinux_2_34_aarch64",
        "manylinux_2_28_aarch64",
        "manylinux_2_17_aarch64",
        "manylinux2014_aarch64",
    ),
    "macOS arm64": ("macosx_14_0_arm64",),
}


LOCKED = ROOT / "requirements" / "locked.txt"
BENCH = ROOT / "requirements" / "bench.txt"


def wanted() -> list[str]:
    """What pyproject.toml asks for: to run, to embed Temporal, to develop, to build."""
    project = _project()
    extras: dict[str, list[str]] = project["project"]["optional-dependencies"]
    groups: dict[str, list[str]] = project["dependency-groups"]
    return [
        *project["project"]["dependencies"],
        *(line for lines in extras.values() for line in lines),
        *(line for name, lines in groups.items() if name != "bench" for line in lines),
        *project["build-system"]["requires"],
    ]


def wanted_for_bench() -> list[str]:
    """What pyproject.toml asks for beyond that: the peers to measure against."""
    lines: list[str] = _project()["dependency-groups"]["bench"]
    return lines


def pins_of(lock: Path) -> list[str]:
    """The pins of a lock, as `name==version`."""
    return re.findall(r"^\S+==\S+", lock.read_text("utf-8"), re.MULTILINE)


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def report(options: Iterable[str]) -> list[dict[str, Any]]:
    """What pip would install with these options."""
    command = [sys.executable, "-m", "pip", "install", "-qq", "--dry-run", "--ignore-installed", "--report", "-"]
    done = subprocess.run([*command, "--only-binary", ":all:", *options], check=True, stdout=subprocess.PIPE)
    installed: list[dict[str, Any]] = json.loads(done.stdout)["install"]
    return installed


def write(lock: Path, requirements: list[str], beyond: Sequence[str] = ()) -> None:
    """Resolve, look up, write. The pins of `beyond` are held to, and left out: another lock has them."""
    held = {pin.partition("==")[0].lower() for pin in beyond}
    found = report([*requirements, *beyond])
    pins = {item["metadata"]["name"]: item["metadata"]["version"] for item in found}
    pins = {name: version for name, version in pins.items() if name.lower() not in held}
    lines = [f"{name}=={version}" for name, version in sorted(pins.items(), key=lambda pin: pin[0].lower())]
    hashes: defaultdict[str, set[str]] = defaultdict(set)
    for python in PYTHONS:
        for platform, tags in PLATFORMS.items():
            print(f"{lock.name}: Python {python} on {platform}", file=sys.stderr)
            options = [f"--python-version={python}", *(f"--platform={tag}" for tag in tags)]
            options.append(f"--target={ROOT / 'build'}")  # pip insists on a folder, but a dry run writes nothing
            for item in report(["--no-deps", *options, *lines]):
                name = item["metadata"]["name"]
                hashes[f"{name}=={pins[name]}"].add(item["download_info"]["archive_info"]["hashes"]["sha256"])

    text = (
        "# Made by requirements/lock.py from pyproject.toml: change that, then run it again.\n"
        f"# Hashes: the wheels for Python {PYTHONS[0]} to {PYTHONS[-1]} on {', '.join(PLATFORMS)}.\n"
        "--require-hashes\n--only-binary :all:\n"
    )
    for line in lines:
        text += " \\\n    ".join([line, *(f"--hash=sha256:{digest}" for digest in sorted(hashes[line]))]) + "\n"
    lock.write_text(text, "utf-8")


def main(names: Sequence[str]) -> None:
    """Write the locks of these names, both when there is none."""
    if not names or LOCKED.name in names:
        write(LOCKED, wanted())
    if not names or BENCH.name in names:
        write(BENCH, wanted_for_bench(), pins_of(LOCKED))


if __name__ == "__main__":
    main(sys.argv[1:])
