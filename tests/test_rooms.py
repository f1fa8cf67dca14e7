"""The shape of the package: small modules, and classes that hold few things of their own."""

import ast
from pathlib import Path

import clipx

PACKAGE = Path(clipx.__file__).parent
MODULES = sorted(path for kind in ("*.py", "*.pyx", "*.pxi") for path in PACKAGE.rglob(kind))
LINES, FIELDS = 350, 10


def name(path):
    return str(path.relative_to(PACKAGE))


def test_modules_are_short():
    lines = {name(path): path.read_text().count("\n") for path in MODULES}
    assert {path: count for path, count in lines.items() if count > LINES} == {}


def parameters(function):
    a = function.args
    return {each.arg for each in (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg) if each}


def root(value):
    """The name that an expression such as format.dtype begins with."""
    while isinstance(value, ast.Attribute):
        value = value.value
    return value.id if isinstance(value, ast.Name) else None


def own_fields(constructor):
    """Names of the attributes that a constructor sets to anything but its arguments and their parts."""
    given, found = parameters(constructor), set()
    for node in ast.walk(constructor):
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            targets, value = [node.target], node.value
        else:
            continue
        flat = [e for t in targets for e in (t.elts if isinstance(t, ast.Tuple) else [t])]
        values = value.elts if isinstance(value, ast.Tuple) and len(value.elts) == len(flat) else [value] * len(flat)
        for target, of in zip(flat, values):
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
                # An argument may have been checked or converted on its way into the field of its name.
                if target.attr.lstrip("_") in given or root(of) in given:
                    continue
                found.add(target.attr)
    return found


def test_constructors_set_few_fields():
    for path in MODULES:
        classes = ast.walk(ast.parse(path.read_text())) if path.suffix == ".py" else ()
        for node in classes:
            if isinstance(node, ast.ClassDef):
                for each in node.body:
                    if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                        own = sorted(own_fields(each))
                        assert len(own) <= FIELDS, f"{name(path)}: {node.name} sets {len(own)} of its own: {own}"
