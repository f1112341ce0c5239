"""A stock MQTT client that keeps all it is sent: paho-mqtt with a session that the broker keeps over its restarts."""

from __future__ import annotations

import threading
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from fieldline_harness.ledger import Ledger


class Subscriber:
    """Subscribes to everything at QoS 1 and enters it in `ledger`; reconnects by itself."""

    def __init__(self, port: int, topic: str = "fieldline/#", ready_s: float = 10) -> None:
        """`ready_s`: how long the broker may take for the first subscription."""
        self.ledger = Ledger()
        self.lock = threading.Lock()
        self._topic = topic
        self._ready_s = ready_s
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="judge", clean_session=False)
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._received
        self._port = port

    def connect(self) -> None:
        """Reach the broker for the first time; later it is found again by itself."""
        self._client.connect("127.0.0.1", self._port)

    def __enter__(self) -> Subscriber:
        self._client.loop_start()
        if not self._ready.wait(self._ready_s):
            raise RuntimeError("the broker did not acknowledge the subscription")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(self._topic, qos=1)

    def _received(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        with self.lock:
            self.ledger.take(bytes(message.payload))
