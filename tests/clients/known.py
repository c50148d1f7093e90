"""What is known not to work, each entry checked on every run: when one begins to work, it has to go.

`SILENT`: clients that do not speak to 18.16 at all, with what it answers them; they are tried on a shard itself, without Weir.
`REFUSED`: cases that Weir refuses, with the words in which it does.
"""

SILENT = {
    "python": "Unknown identifier: readonly",
    "go": "Unknown setting client_protocol_version",
}

# (engine, language, beginning of the case's name) → words of the error.
REFUSED = {
}


def refusal(engine, language, case):
    """The words with which a case is refused; none when it has to work."""
    for (an_engine, a_language, beginning), words in REFUSED.items():
        if (an_engine, a_language) == (engine, language) and case.startswith(beginning):
            return words
    return None
