"""What is known not to work, each entry checked on every run: when one begins to work, it has to go.

`SILENT`: clients that do not speak to 18.16 at all, with what it answers them; they are tried on a shard itself, without Weir.
`REFUSED`: cases that Weir refuses, with the words in which it does.
"""

SILENT = {
    "python": "Unknown identifier: readonly",
    "go": "Unknown setting client_protocol_version",
    # What it asks of tables it asks with compress=1, to which 18.16 answers with an empty body when the answer is short.
    "java": "Unknown function currentUser",
}

# (engine, language, beginning of the case's name) → words of the error, one of these.
REFUSED = {
    # Validation begins with a DESCRIBE that 18.16 refuses itself, and that no answer is kept of when all are down.
    ("18.16", "rust", "RowBinaryWithNamesAndTypes"): (
        "Unknown setting describe_include_subcolumns", "No replica of cluster main answers"),
    # The program's String for LowCardinality(String): a server before 23.3 converts no columns of Native, some such kill it.
    ("18.16", "rust", "insert_native"): (
        "Column label is LowCardinality(String) in the table and String in the INSERT",),
}


def refusal(engine, language, case):
    """The words with which a case is refused, one of them; none when it has to work."""
    for (an_engine, a_language, beginning), words in REFUSED.items():
        if (an_engine, a_language) == (engine, language) and case.startswith(beginning):
            return words
    return None
