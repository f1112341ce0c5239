"""What a file on the board asks for: its code is loaded where the file is there.

Rules: not all builds have all of it; what a build has not is said, with the file that asked for it.
"""

import os

from fieldline_node.errors import IdentityError


def exists(path: str) -> bool:
    """Whether the board has the file."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def load(path: str, module: str, name: str, what: str, *arguments):
    """What `name` of fieldline_node's `module` makes, None where no file `path` asks for it. IdentityError.

    `what`: the hardware that it is for.
    """
    if not exists(path):
        return None
    try:
        make = getattr(__import__("fieldline_node." + module, None, None, (name,)), name)
    except ImportError:
        raise IdentityError("%s is for a board with %s" % (path, what)) from None
    return make(*arguments)
