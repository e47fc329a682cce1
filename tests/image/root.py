"""Carry out the stages of a Dockerfile in clean roots: debootstrap makes the base, a namespace of its own each step."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.image.dockerfile import Instruction, Stage, filled
from tests.image.ignore import Context

SUITE = "bookworm"
PACKAGES = "ca-certificates,python3,python3-venv,python3-pip,python-is-python3"
"""What makes of a bare Debian what `python:3.11-slim` is."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OURS = ("PIP_CERT", "PIP_INDEX_URL", "SSL_CERT_FILE", "https_proxy", "http_proxy", "no_proxy")
"""Variables of this machine that a step needs to reach the package indexes from here."""
THEIRS = ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt")
"""Files of this machine for the same reason."""
STEP_LIMIT = 900
"""Seconds that one RUN may take."""


@dataclass(kw_only=True)
class Image:
    """A root and how its program is started; what a stage has made so far."""

    root: Path
    variables: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    user: str = "root"
    folder: str = "/"
    entrypoint: Sequence[str] = ()
    health: Sequence[str] = ()
    volumes: list[str] = field(default_factory=list[str])

    def argv(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs one in the root, as its user and as the first process of a namespace."""
        uid, gid = self._ids()
        where = [f"--root={self.root}", f"--wd={self.folder}", f"--setgid={gid}", f"--setuid={uid}"]
        own = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        variables = [f"{name}={value}" for name, value in {"HOME": self._home(), **self.variables}.items()]
        return ["unshare", *own, *where, "/usr/bin/env", "-i", *variables, *command]

    def _entry(self) -> Sequence[str]:
        lines = (self.root / "etc/passwd").read_text(encoding="utf-8").splitlines()
        return next(line.split(":") for line in lines if line.split(":")[0] == self.user)

    def _ids(self) -> tuple[str, str]:
        return self._entry()[2], self._entry()[3]

    def _home(self) -> str:
        return self._entry()[5]


@dataclass(kw_only=True)
class Builder:
    """Builds the stages of one Dockerfile."""

    context: Context
    cache: Path
    built: dict[str, Image] = field(default_factory=dict[str, Image])

    def build(self, stage: Stage) -> Image:
        """Carry out one stage; later ones can copy from it."""
        root = self.cache / stage.name
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(["/bin/cp", "--archive", str(_base(self.cache)), str(root)], check=True)
        image = self.built[stage.name] = Image(root=root)
        for instruction in stage.instructions:
            sys.stderr.write(f"{stage.name}: {instruction.name} {instruction.text[:100]}\n")
            self._carry_out(image, instruction)
        return image

    def _carry_out(self, image: Image, instruction: Instruction) -> None:
        match instruction.name:
            case "RUN":
                _run(image, instruction.text)
            case "COPY":
                self._copy(image, instruction.words)
            case "ENV":
                image.variables |= {name: filled(value, image.variables) for name, value in instruction.pairs}
            case "WORKDIR":
                image.folder = instruction.text
                _inside(image, instruction.text).mkdir(parents=True, exist_ok=True)
            case "USER":
                image.user = instruction.text
            case "ENTRYPOINT":
                image.entrypoint = instruction.argv
            case "HEALTHCHECK":
                image.health = instruction.argv
            case _:
                image.volumes.append(instruction.text)

    def _copy(self, image: Image, words: Sequence[str]) -> None:
        *sources, target = words
        there = _inside(image, target)
        if sources[0].startswith("--from="):
            origin = self.built[sources[0].removeprefix("--from=")]
            subprocess.run(["/bin/cp", "--archive", str(_inside(origin, sources[1])), str(there)], check=True)
            return
        for source in sources:
            self._copy_from_context(source, there / "." if target.endswith("/") else there)

    def _copy_from_context(self, source: str, target: Path) -> None:
        """Copy a file into a folder, or what is in a folder."""
        top = self.context.root / source
        for file in self.context.files(source):
            new = target / (file.name if file == top else file.relative_to(top))
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, new)


def _inside(image: Image, path: str) -> Path:
    """Return where a path of the image is on this machine."""
    return image.root / os.path.normpath(f"{image.folder}/{path}" if not path.startswith("/") else path).lstrip("/")


def _run(image: Image, command: str) -> None:
    """Run a shell line. Raises CalledProcessError with what it said still on the screen."""
    here = {name: os.environ[name] for name in OURS if name in os.environ}
    env: Mapping[str, str] = {**here, "DEBIAN_FRONTEND": "noninteractive"}
    with_ours = Image(root=image.root, variables={**env, **image.variables}, user=image.user, folder=image.folder)
    subprocess.run(with_ours.argv(["/bin/sh", "-c", command]), check=True, timeout=STEP_LIMIT, stdin=subprocess.DEVNULL)


def _base(cache: Path) -> Path:
    """Return a Debian with Python that stands for the base image, made once."""
    base = cache / "base"
    if not base.exists():
        new = cache / "base.new"
        shutil.rmtree(new, ignore_errors=True)
        subprocess.run(
            [str(shutil.which("debootstrap")), "--variant=minbase", f"--include={PACKAGES}", SUITE, str(new)],
            check=True,
        )
        for mark in new.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            mark.unlink()  # Debian keeps pip away from its own Python; the base image does not
        new.replace(base)
    for name in THEIRS:
        if Path("/", name).exists():
            shutil.copy(Path("/", name), base / name)
    return base
