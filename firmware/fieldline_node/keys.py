"""What the journal keeps, under which key.

Rules: a key is never used again for something else; one module owns each.
"""

from fieldline_wire.codes import const

KEY_EPOCH = const(1)  # epoch.py: boot count (4)
KEY_EPOCH_TWIN = const(2)  # epoch.py: the same again, so that one rotten record can't repeat an epoch
KEY_STREAM = const(3)  # outbox.py: stream (4)
KEY_CONFIG = const(4)  # config.py: version (4), settings (6 each)
KEY_FAULT = const(5)  # faults.py: own faults in a row (1), reported (1), text
KEY_ALERTS = const(6)  # reflex.py: cause of the alert that stands, a byte a sensor
KEY_WELL = const(7)  # updates.py: sensors that answered before the restart into a trial, a byte each
KEY_LANE = const(0x10)  # outbox.py: + class, a lane's mark
KEY_COMMAND = const(0x20)  # commands.py: + place, id (4), status (1), payload
KEY_MESH = const(0x30)  # links/mesh.py: + record of wire/mesh/ports.py
KEY_GIVEN = const(0x3F)  # given.py: what a provisioner gave, until the node has joined with it
