"""Which collectives a compiled XLA program runs, how often, and how many bytes each makes a device send.

    collectives(compiled.as_text())

Reads the text of an optimised program. Loops count by their trip count; of a `conditional` the branch that sends the
least or the most is counted, since a step takes one of them.
"""

import math
import re
from typing import NamedTuple

KINDS = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
)
REFUSED = ("ragged-all-to-all", "send", "recv")  # how much they move stands in no shape


class Collective(NamedTuple):
    """One collective of a program.

    Attributes:
        kind: one of `KINDS`.
        size: bytes of its whole array: the operand of an all-reduce or reduce-scatter, the result of an all-gather,
            what a device holds of the others.
        group: devices that it joins.
        times: how often a step runs it.
        known: whether `times` is certain: False inside a loop whose trip count is not in the program.
        shape: of the result, as the program says it.
        op: name of the operation that it was compiled from.
        source: the line of Python behind that, innermost first and its callers.
    """

    kind: str
    size: int
    group: int
    times: int
    known: bool
    shape: str
    op: str
    source: tuple[str, ...]

    @property
    def sent(self) -> float:
        """Bytes that a device sends in a step."""
        return self.times * sent(self.kind, self.size, self.group)


class Instruction(NamedTuple):
    """One line of a program."""

    name: str
    shape: str
    opcode: str
    rest: str


class Program(NamedTuple):
    """A parsed program: computations by name, the entry's name, its number of devices, and the tables of sources."""

    computations: dict[str, list[Instruction]]
    entry: str
    devices: int
    tables: dict[str, dict[int, str]]


def sent(kind: str, size: float, n: int) -> float:
    """Bytes that each of n devices sends, by the ring algorithm: what bandwidth-optimal algorithms all reach."""
    share = (n - 1) / n
    factor = {"all-reduce": 2 * share, "collective-permute": 1.0, "collective-broadcast": 1.0}
    return size * factor.get(kind, share)


def bytes_of(shape: str) -> int:
    """Bytes of a shape such as "f32[3,4]{1,0}", or of all in a tuple of them."""
    total = 0
    for dtype, dims in re.findall(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,<=]*)\]", shape):
        bits = 8 if dtype == "pred" else int((re.match(r"[a-z]+(\d+)", dtype) or [0, 0])[1])
        size = math.prod(int(d.lstrip("<=")) for d in dims.split(",") if d)
        total += -(-bits * size // 8)
    return total


def parse(text: str) -> Program:
    """The computations of a program's text."""
    computations, entry, current = {}, "", None
    tables = {name: {} for name in ("FileNames", "FunctionNames", "FileLocations", "StackFrames")}
    table = None
    for line in text.splitlines():
        line = re.sub(r"/\*.*?\*/", "", line)
        if line in tables:
            table = tables[line]
        elif current is None and table is not None and (row := re.match(r"(\d+) (.*)", line)):
            table[int(row[1])] = row[2]
        elif head := re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", line):
            current = computations.setdefault(head[2], [])
            entry = head[2] if head[1] else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and (found := _instruction(line)):
            current.append(found)
    if not entry:
        raise ValueError("the text has no ENTRY computation: not a compiled program's")
    return Program(computations, entry, _devices(text), tables)


def _devices(text: str) -> int:
    counts = (
        re.search(name + r"=(\d+)", text.split("\n", 1)[0]) for name in ("replica_count", "num_partitions")
    )
    return math.prod(int(c[1]) if c else 1 for c in counts)


def _instruction(line: str) -> Instruction | None:
    start = re.match(r"\s*(?:ROOT )?%?([\w.\-]+) = ", line)
    if not start:
        return None
    rest = line[start.end() :]
    end = _closing(rest) if rest.startswith("(") else rest.find(" ")
    opcode = re.match(r"\s*([\w\-]+)\(", rest[end:])
    return Instruction(start[1], rest[:end], opcode[1], rest[end + opcode.end() :]) if opcode else None


def _closing(text: str) -> int:
    """Where the parenthesis that `text` begins with has been closed."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return i + 1
    raise ValueError(f"unbalanced: {text[:80]}")


def group_size(rest: str, devices: int) -> int:
    """Devices in one group of a collective, from its attributes; they come in several notations."""
    if listed := re.search(r"replica_groups=\{\{([\d,]*)\}", rest):
        return len(listed[1].split(","))
    if iota := re.search(r"replica_groups=\[([\d,]+)\]<=", rest):
        return int(iota[1].split(",")[-1])
    if mesh := re.search(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}", rest):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", mesh[1]))
        # An axis may be named in part: 'axis':(2)4 are the 4 devices of it that lie 2 apart.
        named = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", mesh[2])
        return math.prod(int(part or sizes[axis]) for axis, part in named)
    return devices


def _operand_shapes(instruction: Instruction, computation: list[Instruction]) -> str:
    operands = instruction.rest[: _closing("(" + instruction.rest) - 2]
    names = re.findall(r"%?([\w.\-]+)", re.sub(r"[a-z]\w*\[[^\]]*\](\{[^}]*\})?", "", operands))
    shapes = {i.name: i.shape for i in computation}
    return " ".join(shapes.get(name, "") for name in names)


def _size(kind: str, instruction: Instruction, computation: list[Instruction], group: int) -> int:
    """The bytes of the whole array, from the operands: the results of `-start` operations repeat them."""
    operands = bytes_of(_operand_shapes(instruction, computation))
    return operands * group if kind == "all-gather" else operands


def _source(rest: str, tables: dict) -> tuple[str, ...]:
    """The lines of Python behind an instruction, innermost first."""
    if plain := re.search(r'source_file="([^"]*)" source_line=(\d+)', rest):
        return (f"{plain[1]}:{plain[2]}",)
    frame, lines = re.search(r"stack_frame_id=(\d+)", rest), []
    frame = int(frame[1]) if frame else 0
    number = lambda name, row: int((re.search(name + r"=(\d+)", row) or [0, 0])[1])
    while row := tables["StackFrames"].get(frame):
        place = tables["FileLocations"].get(number("file_location_id", row), "")
        name = tables["FileNames"].get(number("file_name_id", place), "").strip('"')
        lines.append(f"{name}:{number('line', place)}")
        parent = number("parent_frame_id", row)
        frame = 0 if parent == frame else parent
    return tuple(lines)


def trip_count(instruction: Instruction, program: Program) -> int | None:
    """How often a `while` runs: as the compiler noted it, or from a condition `i < constant`; None where unknown."""
    if noted := re.search(r'known_trip_count"?:\s*\{"?n"?:\s*"?(\d+)', instruction.rest):
        return int(noted[1])
    condition = program.computations.get(_called("condition", instruction.rest)[0], [])
    bounds = {i.name: i.rest for i in condition if i.opcode == "constant"}
    if condition and "direction=LT" in condition[-1].rest:
        for name in re.findall(r"%?([\w.\-]+)", condition[-1].rest):
            if bound := re.match(r"(\d+)\)", bounds.get(name, "")):
                return int(bound[1])  # loops over a range that JAX makes count up from 0
    return None


def _called(attribute: str, rest: str) -> list[str]:
    one = re.search(attribute + r"=%?([\w.\-]+)", rest)
    many = re.search(attribute + r"=\{([^}]*)\}", rest)
    return re.findall(r"%?([\w.\-]+)", many[1]) if many else [one[1]] if one else []


def _branches(rest: str) -> list[str]:
    return _called("branch_computations", rest) or _called("true_computation", rest) + _called(
        "false_computation", rest
    )


def collectives(text: str, branch: str = "least") -> list[Collective]:
    """All collectives that one run of a program makes.

    Args:
        text: of the compiled program.
        branch: which branch of a conditional counts, the one that sends "least" or "most".

    Raises:
        ValueError: no program, or a collective whose bytes no shape tells.
    """
    if branch not in ("least", "most"):
        raise ValueError(f"{branch=} must be least or most")
    program = parse(text)
    return _walk(program, program.entry, min if branch == "least" else max)


def _walk(program: Program, name: str, choose) -> list[Collective]:
    found, computation = [], program.computations.get(name, [])
    for instruction in computation:
        found += _of_instruction(program, instruction, computation, choose)
    return found


def _of_instruction(program, instruction, computation, choose) -> list[Collective]:
    kind, rest = instruction.opcode.removesuffix("-start"), instruction.rest
    if kind.endswith(("-done", "-update")):  # the end of what its -start began
        return []
    walk = lambda names: [c for name in names for c in _walk(program, name, choose)]
    if kind in REFUSED:
        raise ValueError(f"{instruction.opcode} is not counted: {instruction.name}")
    if kind in KINDS:
        group = group_size(rest, program.devices)
        size = _size(kind, instruction, computation, group)
        op = re.search(r'op_name="([^"]*)"', rest)
        source = _source(rest, program.tables)
        return [Collective(kind, size, group, 1, True, instruction.shape, op[1] if op else "", source)]
    if kind == "while":
        count = trip_count(instruction, program)
        inside = walk(_called("body", rest) + _called("condition", rest))
        return [c._replace(times=c.times * (count or 1), known=c.known and count is not None) for c in inside]
    if kind == "conditional":
        total = lambda branch: sum(c.sent for c in branch)
        return choose([walk([name]) for name in _branches(rest)], key=total)
    return walk(_called("calls", rest) + (_called("to_apply", rest) if kind in ("call", "async") else []))


def totals(found: list[Collective]) -> dict[tuple[str, int], int]:
    """Bytes of arrays a step, by kind and size of the group."""
    sums = {}
    for c in found:
        sums[c.kind, c.group] = sums.get((c.kind, c.group), 0) + c.times * c.size
    return sums
