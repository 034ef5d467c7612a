"""Holds every example of an answer against its schema; the document comes on standard input.

Prints how many there are. Fails where an answer that has a body has no example, or one that its schema does not allow.
"""

import json
import sys

from jsonschema_rs import Draft202012Validator


def answers(document):
    for name, response in document["components"]["responses"].items():
        yield name, response
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for status, response in operation["responses"].items():
                yield f"{method} {path} {status}", response


def main():
    document = json.load(sys.stdin)
    known, wrong = 0, []
    for name, response in answers(document):
        for content_type, content in response.get("content", {}).items():
            if "example" not in content:
                wrong.append(f"{name} {content_type} has no example")
                continue
            known += 1
            schema = {**content["schema"], "components": document["components"]}
            for error in Draft202012Validator(schema, validate_formats=True).iter_errors(content["example"]):
                wrong.append(f"{name} {content_type}: {error.message} at {error.instance_path}")
    if wrong:
        sys.exit("\n".join(wrong))
    print(known)


main()
