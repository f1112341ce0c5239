"""board of a Raspberry Pi Pico W."""

from microcontroller import _pin

board_id = "raspberry_pi_pico_w"

LED = _pin("LED", None)


def _name_pins():
    for number in range(29):
        globals()[f"GP{number}"] = _pin(f"GP{number}", number)


_name_pins()
