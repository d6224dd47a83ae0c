"""The suite `kosoku` with one repair. Its arguments are those of `kosoku`.

A peer may send a message as it is when it would not get shorter (RFC 7692 section 6). `kosoku` gives such a message to
a case as a string with a character for each byte, as Python 2 had it, but the cases for compression need bytes.
"""

from kosoku import _cli
from kosoku.cases import CASES


def with_bytes(on_message):
    def repaired(case, message, binary):
        if isinstance(message, str):
            message = message.encode("latin-1" if binary else "utf-8")
        on_message(case, message, binary)

    return repaired


for number, case in CASES.items():
    if number.startswith(("12.", "13.")):
        case.onMessage = with_bytes(case.onMessage)

_cli.main()
