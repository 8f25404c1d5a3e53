# SPDX-License-Identifier: GPL-2.0-or-later
"""The Python module against libkvoff.h: every function has a prototype there and is called by a method, every structure
and constant is what the compiler makes of the header. Native; needs a C compiler.
"""

import ast
import ctypes
import os
import pathlib
import re
import subprocess
import tempfile

import kvoff
from kvoff import _abi
from ktap import check, run, test

TOP = pathlib.Path(__file__).resolve().parents[2]
HEADER = TOP / "libkvoff/libkvoff.h"
PACKAGE = pathlib.Path(kvoff.__file__).parent

# what the header's structures are called in the module
STRUCTS = {
    "libkvoff_options": _abi.Options,
    "libkvoff_completion": _abi.CompletionStruct,
    "libkvoff_unit": _abi.UnitStruct,
    "libkvoff_window": _abi.WindowStruct,
    "libkvoff_block": _abi.Block,
    "libkvoff_stats": _abi.StatsStruct,
}
SCALARS = {
    "int": ctypes.c_int,
    "enum libkvoff_hint": ctypes.c_int,
    "size_t": ctypes.c_size_t,
    "uint64_t": ctypes.c_uint64,
    "uid_t": ctypes.c_uint32,
    "void": None,
}


def header():
    text = HEADER.read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return re.sub(r"\\\n", "", text)


def functions():
    """name -> (type, [types]), from the header"""
    found = {}
    text = re.sub(r"^#.*$", "", header(), flags=re.M)
    for kind, name, args in re.findall(r"([\w ]+?[ *]+)(libkvoff_\w+)\(([^)]*)\);", text):
        types = [re.sub(r"\w+$", "", " ".join(a.split())).strip() for a in args.split(",")]
        found[name] = (" ".join(kind.split()), types)
    return found


def ctype(kind):
    """What the module should have for a type of the header."""
    kind = kind.replace("const ", "").replace(" *", "*")
    if kind in SCALARS:
        return SCALARS[kind]
    if kind == "char*":
        return ctypes.c_char_p
    # the region, addresses and arrays of indices are passed as addresses
    if kind in ("struct libkvoff*", "void*", "void**", "uint64_t*"):
        return ctypes.c_void_p
    if kind == "struct libkvoff**":
        return ctypes.POINTER(ctypes.c_void_p)
    return ctypes.POINTER(STRUCTS[kind.removeprefix("struct ").removesuffix("*")])


def compiled(statements):
    """What a C program with the header prints, as a dictionary."""
    with tempfile.TemporaryDirectory() as d:
        source = pathlib.Path(d) / "print.c"
        body = "\n".join(f'\tprintf("{key} %lld\\n", (long long)({value}));' for key, value in statements.items())
        source.write_text(
            "#include <stdio.h>\n#include <libkvoff.h>\n"
            "#define FIELD_SIZE(t, f) sizeof(((struct t *)0)->f)\n"
            f"int main(void)\n{{\n{body}\n}}\n"
        )
        subprocess.run(["cc", f"-I{HEADER.parent}", "-o", f"{d}/print", source], check=True)
        out = subprocess.run([f"{d}/print"], check=True, capture_output=True, text=True).stdout
    return {key: int(value) for key, value in (line.split() for line in out.splitlines())}


@test("every function of the header has a prototype, and no other has")
def names():
    check(len(functions()) > 30, f"the header has only {len(functions())} functions that this test understands")
    exported = set(re.findall(r"^\s+(libkvoff_\w+);", (TOP / "libkvoff/libkvoff.map").read_text(), re.M))
    check(set(functions()) == exported, f"header and symbol map differ: {set(functions()) ^ exported}")
    check(set(functions()) == set(_abi.PROTOTYPES), f"differ: {set(functions()) ^ set(_abi.PROTOTYPES)}")


@test("with the header's types")
def types():
    for name, (kind, args) in functions().items():
        restype, argtypes = _abi.PROTOTYPES[name]
        check(restype is ctype(kind), f"{name}: returns {restype}, in the header {kind}")
        check(argtypes == [ctype(a) for a in args], f"{name}: takes {argtypes}, in the header {args}")


@test("and is called somewhere outside of its prototype")
def called():
    used = set()
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr.startswith("libkvoff_"):
                used.add(node.attr)
    check(used == set(_abi.PROTOTYPES), f"differ: {used ^ set(_abi.PROTOTYPES)}")


@test("structures have the compiler's sizes and offsets")
def layout():
    names = set(re.findall(r"^struct (libkvoff_\w+) \{", header(), re.M))
    check(names == set(STRUCTS), f"differ: {names ^ set(STRUCTS)}")
    want = {}
    for name, struct in STRUCTS.items():
        want[name] = ctypes.sizeof(struct), f"sizeof(struct {name})"
        body = re.search(rf"^struct {name} \{{(.*?)\}};", header(), re.M | re.S).group(1)
        fields = re.findall(r"(\w+)(?:\[\w+\])?;", body)
        check(fields == [f for f, _ in struct._fields_], f"{name}: fields {fields}")
        for field, kind in struct._fields_:
            want[f"{name}.{field}"] = getattr(struct, field).offset, f"offsetof(struct {name}, {field})"
            want[f"{name}.{field}.size"] = ctypes.sizeof(kind), f"FIELD_SIZE({name}, {field})"
    got = compiled({key: value for key, (_, value) in want.items()})
    wrong = {key: (here, got[key]) for key, (here, _) in want.items() if here != got[key]}
    check(not wrong, f"module and compiler: {wrong}")


@test("constants have the header's values")
def constants():
    defined = re.findall(r"^#define LIBKVOFF_(\w+)[ \t]+\S", header(), re.M)
    named = re.search(r"enum libkvoff_hint \{(.*?)\}", header(), re.S).group(1)
    names = [n for n in defined if n != "OPTIONS_INIT"] + re.findall(r"LIBKVOFF_(\w+)", named)
    check("HINT_DONE" in names and "BLOCK_MOVING" in names, f"found {names}")
    got = compiled({name: f"LIBKVOFF_{name}" for name in names})
    wrong = {n: (getattr(_abi, n, None), got[n]) for n in names if getattr(_abi, n, None) != got[n]}
    check(not wrong, f"module and header: {wrong}")
    check({h.name for h in kvoff.Hint} == {n.removeprefix("HINT_") for n in names if n.startswith("HINT_")})


@test("the module is of the library's version, and loads its soname")
def version():
    make = re.search(r"^VERSION\s*:= (\S+)", (TOP / "Makefile").read_text(), re.M).group(1)
    project = re.search(r'^version = "(.*)"', (PACKAGE.parent / "pyproject.toml").read_text(), re.M)
    check(kvoff.__version__ == make, f"module {kvoff.__version__}, Makefile {make}")
    check(project.group(1) == make, f"pyproject.toml {project.group(1)}, Makefile {make}")
    check(f"libkvoff-soname	:= {_abi.SONAME}\n" in (TOP / "libkvoff/build.mk").read_text(), f"not {_abi.SONAME}")


@test("everything public has a docstring and type hints")
def documented():
    missing = []
    for name in kvoff.__all__:
        public = getattr(kvoff, name)
        things = [(name, public)]
        if isinstance(public, type):
            things += [(f"{name}.{n}", getattr(public, n)) for n in vars(public) if not n.startswith("_")]
        for path, thing in things:
            doc = getattr(thing, "__doc__", None)
            if callable(thing) or isinstance(thing, property):
                if not doc:
                    missing.append(path)
                function = thing.fget if isinstance(thing, property) else thing
                if not isinstance(function, type) and "return" not in getattr(function, "__annotations__", {}):
                    missing.append(f"{path} (hints)")
    check(not missing, f"missing: {missing}")
    check((PACKAGE / "py.typed").exists(), "py.typed is missing")


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    run()
