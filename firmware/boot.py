"""Runs before main.py: chooses the slot that an update brought, or the files here (docs/update.md 8.8).

Nothing that goes wrong in it may keep the files here from running.
"""

try:
    from fieldline_node.drivers.micropython.selector import select

    start = select()  # main.py tells the node
    del select

    import gc

    gc.collect()  # what the selector needed lies where the node's code is to go
except Exception as error:  # noqa: BLE001 - the node's first line: whatever it is, main.py follows
    import sys

    sys.print_exception(error)
