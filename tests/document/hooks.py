"""What schemathesis cannot know from the document alone."""

import base64
import json
import os
import uuid

import schemathesis


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """A cursor is one that the service gave. Made up, it is rightly refused, whatever a schema can say of it.

    So requests that are meant to be taken go without a made-up one; one that came out of an earlier answer stays, and
    requests that are meant to be refused go as they are.
    """
    is_meant_to_be_taken = case.meta is not None and case.meta.generation.mode.is_positive
    given = [(case.query, "cursor")]
    if case.operation.path.endswith("/runs/stream"):
        given += [(case.query, "after"), (case.headers, "Last-Event-ID")]
    for place, name in given:
        if is_meant_to_be_taken and place and name in place and not is_given(place[name]):
            del place[name]
    # A key is for one request, and each of these is another.
    if is_meant_to_be_taken and case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if is_meant_to_be_taken:
        name_real_windows(case)
    stop_streams(case)
    keep_own_key(case)


def name_real_windows(case):
    """A window begins before its end, and its time zone is one that there is; what is made up is rightly refused."""
    if "/analytics" in case.operation.path and case.query:
        case.query.pop("since", None)
        if "timezone" in case.query:
            case.query["timezone"] = "Asia/Kathmandu"


def keep_own_key(case):
    """Whoever revokes the key that it shows sees no more."""
    if case.path_parameters and case.path_parameters.get("key_id") == os.environ["KEY_ID"]:
        case.path_parameters["key_id"] = "nobody"


def stop_streams(case):
    """Nobody waits for what may come: a stream is asked for what is there."""
    if case.operation.path.endswith("/stream"):
        case.query = {"follow": "false"} if case.query is None else case.query
        if case.query.get("follow") in (None, True, "true"):
            case.query["follow"] = "false"


def is_given(cursor):
    try:
        padding = "=" * (-len(cursor) % 4)
        return isinstance(json.loads(base64.urlsafe_b64decode(cursor + padding)), list)
    except (TypeError, ValueError):
        return False
