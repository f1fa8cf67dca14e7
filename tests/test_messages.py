"""docs/messages.md has every class of message that the package raises, warns of and logs."""

import ast
import builtins
import re
from pathlib import Path

import clipx

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "messages.md").read_text()
HOME = Path(clipx.__file__).parent

OWN = {"AxisError", "BadParameter", "ClickException", "Contradiction", "ExtractError", "MediaError", "OtherKind"}
OWN |= {"OutputError", "PartsLost", "PoolExhausted", "PoolTooSmall", "ReadError", "Refused", "ShortAnswer", "TooLarge"}
OWN |= {"TooManyFailures", "UnsupportedOperation", "UsageError", "_Invalid"}
REPORTING = {("warnings", "warn"), *(("logger", level) for level in ("debug", "info", "warning", "error", "exception"))}


def template(node):
    """The text of a message, `…` for what is filled in; None where it is not written there."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(each.value if isinstance(each, ast.Constant) else "…" for each in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = template(node.left), template(node.right)
        return "".join(each or "…" for each in sides) if any(sides) else None
    return None


def is_exception(function):
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    found = getattr(builtins, name, None)
    is_standard = isinstance(found, type) and issubclass(found, Exception) and found is not AssertionError
    return name in OWN or is_standard


def is_warning_or_log(function):
    """Whether a function that is called is `warnings.warn`, or a method such as `logger.info`."""
    owner = function.value.id if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) else ""
    return (owner, getattr(function, "attr", "")) in REPORTING


def given():
    """Messages of exceptions that are made, of warnings and of logs, each with its place."""
    for path in sorted(HOME.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args:
                if is_exception(node.func):
                    text = template(node.args[0])
                elif is_warning_or_log(node.func):
                    text = re.sub(r"%(?:\.\d+)?[dfrs]", "…", template(node.args[0]) or "")
                else:
                    continue
                if text and re.search(r"\w", text.replace("…", "")):
                    yield text, f"{path.relative_to(HOME)}:{node.lineno}"


def patterns():
    """Messages of the page: what stands in backticks in its entries before their explanation."""
    for entry in re.findall(r"^- (.*?)(?=^- |^#|\Z)", PAGE, re.M | re.S):
        listed = re.match(r"(?:`[^`]+`(?:,\s+)?)+", entry)
        yield from (re.sub(r"\s+", " ", each) for each in re.findall(r"`([^`]+)`", listed[0]))


def expression(pattern):
    return re.compile(".*".join(re.escape(part) for part in pattern.split("…")), re.S)


def test_every_message_has_its_entry():
    known = [expression(each) for each in patterns()]
    missing = [f"{place}: {text}" for text, place in given() if not any(each.fullmatch(text) for each in known)]
    assert missing == []


def test_entries_are_of_messages_and_not_of_anything():
    for pattern in patterns():
        assert len(re.sub(r"[…\W]", "", pattern)) >= 3, pattern
