"""Read a Dockerfile into stages, as far as ours goes: what it does not know it refuses."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

KNOWN = ("COPY", "ENTRYPOINT", "ENV", "HEALTHCHECK", "RUN", "USER", "VOLUME", "WORKDIR")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, its continued lines joined."""

    name: str
    text: str

    @property
    def words(self) -> Sequence[str]:
        """What stands behind the name, in words."""
        return self.text.split()

    @property
    def argv(self) -> Sequence[str]:
        """The command of the exec form; what stands before it (`--interval=… CMD`) is left out."""
        return json.loads(self.text[self.text.index("[") :])

    @property
    def pairs(self) -> Sequence[tuple[str, str]]:
        """The variables that an ENV sets."""
        found = re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', self.text)
        return [(name, quoted or bare) for name, quoted, bare in found]


@dataclass(frozen=True, slots=True)
class Stage:
    """What begins with a FROM."""

    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list[Instruction])


def stages(text: str) -> Sequence[Stage]:
    """Return the stages in their order. Raises ValueError for an instruction that is not known here."""
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    for instruction in _instructions(text):
        if instruction.name == "ARG":
            name, _, default = instruction.text.partition("=")
            arguments[name] = default
        elif instruction.name == "FROM":
            found.append(_stage(instruction, arguments, len(found)))
        elif instruction.name in KNOWN:
            found[-1].instructions.append(instruction)
        else:
            raise ValueError(f"{instruction.name} is not known here")
    return found


def _stage(instruction: Instruction, arguments: Mapping[str, str], number: int) -> Stage:
    base, *named = filled(instruction.text, arguments).split()
    return Stage(name=named[-1] if named else str(number), base=base)


def filled(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with its `${NAME}` and `$NAME` filled in."""
    return re.sub(r"\$\{?(\w+)\}?", lambda name: variables.get(name[1], ""), text)


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for whole in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, rest = whole.partition(" ")
        yield Instruction(name.upper(), rest.strip())
