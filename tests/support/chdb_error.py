"""Errors as ClickHouse tells them."""

import re


class ClickHouseError(Exception):
    """An error with ClickHouse's code; the text is its whole answer but for the version."""

    def __init__(self, text):
        super().__init__(text)
        found = re.match(r"Code: (\d+)\.", text)
        self.code = int(found.group(1)) if found else 1001


def error(code, what, name):
    return ClickHouseError(f"Code: {code}. DB::Exception: {what}. ({name})")
