"""What schemathesis cannot know from the document alone."""

import base64
import json
import uuid

import schemathesis


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """A cursor is one that the service gave. Made up, it is rightly refused, whatever a schema can say of it.

    So requests that are meant to be taken go without a made-up one; one that came out of an earlier answer stays, and
    requests that are meant to be refused go as they are.
    """
    # A key is for one request, and each of these is another.
    if case.headers and "Idempotency-Key" in case.headers and case.meta.generation.mode.is_positive:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    cursor = (case.query or {}).get("cursor")
    if cursor is not None and not is_given(cursor) and case.meta is not None and case.meta.generation.mode.is_positive:
        del case.query["cursor"]


def is_given(cursor):
    try:
        padding = "=" * (-len(cursor) % 4)
        return isinstance(json.loads(base64.urlsafe_b64decode(cursor + padding)), list)
    except (TypeError, ValueError):
        return False
