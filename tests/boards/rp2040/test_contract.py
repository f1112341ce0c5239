"""The suite of the Board port (tests/contracts/test_board.py) on the emulated Pico.

Left out: what is true of the VM's file system alone (there a file's replacement is one flash operation, on littlefs
several: test_board.py), and the exact times of edges, which a busy chip sees 1 % late.
"""

from tests.contracts.test_board import (
    test_a_cut_erase_leaves_part_of_the_sector,
    test_a_pulse_train_changes_and_stops,
    test_an_unplugged_board_runs_on,
    test_flash_is_seen_alike_from_both_sides,
    test_inputs_are_driven_and_outputs_seen,
    test_power_is_cut_in_the_flash_operation_asked_for,
    test_power_off_loses_ram_and_keeps_files,
    test_programming_only_clears_bits,
    test_reset_loses_ram_and_says_power_on,
    test_the_port_runs_python,
    test_unflushed_data_is_gone_and_flushed_data_stays,
    test_what_cannot_be_is_refused,
)

__all__ = [
    "test_a_cut_erase_leaves_part_of_the_sector",
    "test_a_pulse_train_changes_and_stops",
    "test_an_unplugged_board_runs_on",
    "test_flash_is_seen_alike_from_both_sides",
    "test_inputs_are_driven_and_outputs_seen",
    "test_power_is_cut_in_the_flash_operation_asked_for",
    "test_power_off_loses_ram_and_keeps_files",
    "test_programming_only_clears_bits",
    "test_reset_loses_ram_and_says_power_on",
    "test_the_port_runs_python",
    "test_unflushed_data_is_gone_and_flushed_data_stays",
    "test_what_cannot_be_is_refused",
]
