#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compiles SQL files in.

embed-sql.py statements OUT.c OUT.h FILE…   each "-- name: a-name" begins a statement: const char sql_a_name[]
embed-sql.py migrations OUT.c FILE…         NNNN-name.sql, numbered without a gap: the table migrations[]
"""

import hashlib
import pathlib
import re
import sys

LICENSE = "/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"


def c_string(text):
    """A C string literal, one line for each line of the text."""
    escapes = {"\\": "\\\\", '"': '\\"', "\t": "\\t", "?": "\\?"}
    lines = text.splitlines() or [""]
    return "\n".join('        "' + "".join(escapes.get(c, c) for c in line) + '\\n"' for line in lines)


def read_statements(path):
    """Yields (name, text). Comments are left out, and the semicolon of whatever is no script."""
    name, script, body = None, False, []

    def finish():
        text = "\n".join(body).strip()
        if not text.endswith(";"):
            sys.exit(f"{path}: the statement '{name}' does not end with a semicolon")
        return name, text if script else text[:-1]

    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        head = re.fullmatch(r"-- name: ([a-z][a-z0-9-]*)( \(script\))?", line)
        if head:
            if name:
                yield finish()
            name, script, body = head[1], bool(head[2]), []
        elif line.startswith("--") or not line.strip():
            continue
        elif name:
            body.append(line.rstrip())
        else:
            sys.exit(f"{path}:{number}: SQL before the first '-- name:'")
    if name:
        yield finish()


def embed_statements(source, header, paths):
    statements = {}
    for path in paths:
        for name, text in read_statements(path):
            if name in statements:
                sys.exit(f"{path}: the statement '{name}' is there twice")
            statements[name] = text

    names = {name: "sql_" + name.replace("-", "_") for name in statements}
    header.write_text(
        LICENSE + "#pragma once\n\n" + "".join(f"extern const char {s}[];\n" for s in names.values()),
        encoding="utf-8")
    source.write_text(
        LICENSE + f'#include "{header.name}"\n\n' +
        "\n".join(f"const char {names[n]}[] =\n{c_string(t)};\n" for n, t in statements.items()),
        encoding="utf-8")


def embed_migrations(source, paths):
    rows = []
    for expected, path in enumerate(paths, 1):
        head = re.fullmatch(r"([0-9]{4})-([a-z0-9-]+)\.sql", path.name)
        if not head or int(head[1]) != expected:
            sys.exit(f"{path}: migration {expected:04} has to be here")
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        rows.append(f'        {{ {expected}, "{head[2]}", "{digest}",\n{c_string(data.decode())} }},\n')

    source.write_text(
        LICENSE + '#include "migrate.h"\n\nconst Migration migrations[] = {\n' + "".join(rows) + "};\n" +
        f"const size_t n_migrations = {len(rows)};\n",
        encoding="utf-8")


def main(argv):
    paths = [pathlib.Path(a) for a in argv[2:]]
    if argv[1] == "statements":
        embed_statements(paths[0], paths[1], paths[2:])
    else:
        embed_migrations(paths[0], paths[1:])


main(sys.argv)
