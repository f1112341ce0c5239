"""storage: who may write the world's file system."""

from cp_world import Holder


def disable_usb_drive():
    if Holder.world.usb_up:
        raise RuntimeError("Cannot change USB devices now")
    Holder.world.drive = False


def remount(mount_path, readonly=False, *, disable_concurrent_write_protection=False):
    if mount_path != "/":
        raise OSError(22)
    world = Holder.world
    if world.usb_up and world.drive:
        raise RuntimeError("Cannot remount path when visible via USB.")
    world.volume.python_writes = not readonly
