"""Runs one client snippet, read unmodified from standard input, and reports as JSON what it did.

    play.py DOCUMENT ADDRESS TASK_ID [CALL]

CALL is an expression for a snippet that only defines something. The report has `result` (of CALL), `printed`,
`error` (a traceback, or null), `names` (what the snippet left behind) and `responses` (what it was answered).
"""

import contextlib
import io
import json
import sys
import traceback

import assumed


def main(document, address, task_id, call=None):
    snippet = sys.stdin.buffer.read().decode("utf-8")
    names = assumed.names(int(document), address, task_id)
    before = set(names)
    printed, result, error = io.StringIO(), None, None
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(snippet, "snippet", "exec"), names)
            if call:
                result = eval(call, names)
        except Exception:
            error = traceback.format_exc()
    left = {name: tell(value) for name, value in names.items() if name not in before and name != "__builtins__"}
    responses = [tell(response) for response in names["requests"].responses]
    report = {"result": result, "printed": printed.getvalue(), "error": error, "names": left, "responses": responses}
    json.dump(report, sys.stdout)


def tell(value):
    if isinstance(value, assumed.Response):
        return {"status_code": value.status_code, "json": value.json()}
    return value if isinstance(value, (dict, list, str, int, float, bool, type(None))) else repr(value)


main(*sys.argv[1:])
