# main.py of a Pico in test_on_rp2040.py: the node's own selector, updater and outbox, the gateway's part from files.
# One update after the other, without an end; each is confirmed or, where the image says so, ends in a reset.
import json
import os
import sys

import fieldline_board as board
import machine

from fieldline_node.drivers.micropython.flash import find_region
from fieldline_node.drivers.micropython.updates import open_updates
from fieldline_node.journal import Journal
from fieldline_node.lane import Record
from fieldline_node.outbox import Outbox
from fieldline_wire.update.messages import Offer
from fieldline_wire.update.standing import confirm
from fieldline_wire.update.token import Token

CHUNK, WHAT_IMAGE, PENDING, TRIAL = 256, 0, 4, 5  # a build for a node has no codes.py
NODE = b"\x01\x23\x45\x67\x89\xab\xcd\xef"
turns = 0


def main():
    journal = Journal(find_region(board.CHIP, *board.FLASH_STATE))
    journal.mount()
    outbox = Outbox(find_region(board.CHIP, *board.FLASH_OUTBOX), journal, lambda: 77)
    outbox.mount()

    def turn():
        global turns
        turns += 1
        if turns % 8 == 0:
            number = outbox.next(1)
            outbox.append(1, Record(0, 1, 0, number, 1, number, 0, False))

    port = open_updates(board, NODE, os.urandom)
    record = port.journal.record
    print("boot", port.slot, record.state, record.reason, record.sequence)
    if record.state == TRIAL:
        import slotname  # from the slot

        turn()
        if slotname.GOOD:
            confirm(port.journal)
            print("confirmed", port.journal.record.sequence)
        machine.reset()
    updater = port.updater(lambda: 1900000000, os.urandom)
    updater.load()
    releases = json.load(open("/releases.json"))
    if record.state in (1, 2, 3):
        name = json.load(open("/releases.json"))["by digest"][record.digest.hex()]
    else:
        tried = record.sequence if record.state == 7 else record.floor
        name = str(max(tried, record.floor) + 1)
        if name not in releases["sizes"]:
            print("all done")
            while True:
                machine.idle()
    if record.state not in (1, 2, 3):
        status = updater.status()
        token = Token(NODE, status.counter + 1, status.nonce, bytes.fromhex(releases["digests"][name]))
        if not updater.offer(Offer(WHAT_IMAGE, releases["sizes"][name], token.to_bytes(port.who.token_key))):
            print("refused", updater.status())
    while True:
        turn()
        if updater.work():
            continue
        want = updater.want(8)
        if want is None:
            break
        with open("/releases/%s.%d" % (name, want.object), "rb") as file:
            for index in want.chunks():
                file.seek(CHUNK * index)
                turn()
                updater.chunk(want.object, index, file.read(CHUNK))
    if port.journal.record.state != PENDING:
        print("ended", updater.status())
    machine.reset()


try:
    main()
except Exception as error:
    sys.print_exception(error)
    machine.reset()
