"""What can go wrong, sorted by what is to be done about it.

A `FatalError` needs a human and ends the program. The others end a session, which is then built anew.
"""

import unicodedata

import psycopg

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_BLANK_LETTERS = frozenset(
    map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10)))
) | frozenset(map(chr, (*range(0x180B, 0x1810), *range(0xE0100, 0xE01F0))))
# Of connection failures libpq tells only a text, so these are recognised by their (untranslated) words.
_REFUSED_CONNECTIONS = {
    "password authentication failed": "Check the user and the password (PGPASSWORD, ~/.pgpass or the dsn).",
    "no password supplied": "Give the password in PGPASSWORD, in ~/.pgpass or in the dsn.",
    "authentication failed for user": "Check the server's pg_hba.conf and the user's credentials.",
    "no pg_hba.conf entry": "Add a line for this user, database and host to the server's pg_hba.conf.",
    "is not permitted to log in": "Use a role that has LOGIN.",
    "permission denied for database": "Grant this user CONNECT on the database.",
    "invalid connection option": "Check the dsn.",
}
_REFUSED_STATES = {
    "28P01": "Check the user and the password.",
    "28000": "Check the user and the server's pg_hba.conf.",
    "3D000": "Check the name of the database.",
    "42501": "Grant the bridge's user membership in the extension's bridge role.",
    "42883": "The extension is too old for this bridge, or not all of it is there: ALTER EXTENSION … UPDATE.",
    "3F000": "Install the extension in this database: CREATE EXTENSION … CASCADE.",
    "SGV01": "",
    "SGV02": "",
}


class FatalError(Exception):
    """What retrying cannot mend: a message, and a hint how a human mends it."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = one_line(message)
        self.hint = one_line(hint)
        end = "" if self.message.endswith((".", "!", "?")) or not self.hint else "."
        super().__init__(f"{self.message}{end} {self.hint}".strip())


class DatabaseLost(Exception):  # noqa: N818 - it is an event rather than an error
    """The connection to the database is gone or does not answer; a new session is needed."""


class BrokerLost(Exception):  # noqa: N818 - it is an event rather than an error
    """The connection to NATS is gone, does not answer or was never made; a new session is needed."""


def printable(text: object, max_length: int = 500) -> str:
    """Return what somebody else wrote as it may stand in a line for people.

    Characters that are not seen as themselves, or that change how others are seen, are escaped.
    """
    shown = str(text)[:max_length]
    return "".join(_shown(char) for char in shown) + ("…" if len(str(text)) > max_length else "")


def _shown(char: str) -> str:
    hidden = unicodedata.category(char) in _HIDDEN or char in _BLANK_LETTERS
    return f"<U+{ord(char):0{4 if ord(char) < 1 << 16 else 6}X}>" if hidden else char


def one_line(text: object) -> str:
    """Return the text in one line, for messages that must stay one."""
    return printable(" ".join(str(text).split()), 2000)


def describe(error: BaseException) -> str:
    """Return one line about an error: a database error's own message, or the type where there is no text."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return one_line(error.diag.message_primary)
    return one_line(error) or type(error).__name__


def refused_connection(error: psycopg.OperationalError) -> FatalError | None:
    """Tell whether the server refused the connection for good (bad credentials, no such database)."""
    text = one_line(error)
    if "FATAL:" in text and "does not exist" in text and ("database" in text or "role" in text):
        return FatalError(_after_fatal(text), "Check the names of the database and the user.")
    for words, hint in _REFUSED_CONNECTIONS.items():
        if words in text:
            return FatalError(_after_fatal(text), hint)
    return None


def refused_call(error: psycopg.Error) -> FatalError | None:
    """Tell whether a call of a bridge function failed in a way that needs a human."""
    if error.sqlstate not in _REFUSED_STATES:
        return None
    return FatalError(describe(error), error.diag.message_hint or _REFUSED_STATES[error.sqlstate])


def is_lost(error: psycopg.Error) -> bool:
    """Tell whether the error means that the connection is gone, rather than that one call failed."""
    if isinstance(error, psycopg.InterfaceError):
        return True
    state = error.sqlstate or ""
    return isinstance(error, psycopg.OperationalError) and (not state or state.startswith(("08", "57P")))


def is_of_message(error: psycopg.Error) -> bool:
    """Tell whether an error that a single message met may be that message's, and is not everybody's or nobody's.

    Conflicts with other sessions, a full disk and a standby are not.
    """
    state = error.sqlstate or ""
    return not state.startswith(("25", "40", "55", "58")) and state not in {"53100", "53300", "53400"}


def _after_fatal(text: str) -> str:
    return text.rpartition("FATAL:")[2].strip() or text
