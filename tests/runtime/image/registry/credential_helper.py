"""A credential helper as docker knows them: a program that keeps what it is given in a file beside it."""

import sys

# Started by our own Python: a `python3` of the PATH may be a script of pyenv's that takes ten times as long.
HELPER = f"#!{sys.executable} -SEI\n"
HELPER += """
import json, pathlib, sys
kept = pathlib.Path(__file__).with_suffix(".json")
known = json.loads(kept.read_text()) if kept.exists() else {}
given = sys.stdin.read()
if sys.argv[1] == "get":
    if given not in known:
        print("credentials not found in native keychain")
        sys.exit(1)
    print(json.dumps(known[given]))
elif sys.argv[1] == "store":
    entry = json.loads(given)
    known[entry["ServerURL"]] = entry
elif sys.argv[1] == "erase":
    known.pop(given, None)
kept.write_text(json.dumps(known))
"""
