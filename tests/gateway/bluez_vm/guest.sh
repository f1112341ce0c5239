# The first process of the virtual machine: file systems, the message bus, pytest, off. Words are pytest's.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PYTHONDONTWRITEBYTECODE=1
mountpoint -q /proc || mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sysfs /sys
for folder in /run /tmp /var/lib/bluetooth; do mkdir -p $folder; mount -t tmpfs tmpfs $folder; done
mkdir -p /run/dbus
modprobe hci_vhci
dbus-daemon --system
uname -r
cd /mnt
export PYTHONPATH=/opt/site:/mnt:/mnt/wire:/mnt/gateway:/mnt/host
timeout 1200 python3 -m pytest -c /dev/null --noconftest --rootdir /mnt -p no:cacheprovider --import-mode=importlib --timeout 240 \
  -v -s --color=no "$@" tests/gateway/bluez_vm/inside.py
echo "fieldline-guest-ended $?"
sync
echo o > /proc/sysrq-trigger
sleep 60
