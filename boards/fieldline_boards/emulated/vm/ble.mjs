// The board's Bluetooth controller: what the `bluetooth` shim tells it goes to the host's simulated air (air/live.py),
// and what it receives comes back as a call, as an interrupt does.
//
// Rules: SIMULATED. Bytes cross in two buffers of the shim's, which hold them for that call alone.
import { memory } from './micropython.mjs';

// Adds the controller to `module` (the VM's `_hw`) and `change`. `radio`: {address} in hex, or nothing.
export function attachRadio({ vm, module, change, link, report, radio }) {
  let handler = null;
  let buffers = null;
  module.has_radio = Boolean(radio);
  module.radio_address = radio?.address ?? '';
  module.radio_open = (address, data) => { buffers = { address, data }; };
  module.radio_tell = (text) => link.post({ type: 'radio', ...JSON.parse(text) });
  module.radio_irq = (call) => { handler = call; };
  change.advert = ({ from, kind, rssi, data }) => {
    if (!handler || !buffers) return;
    const bytes = Buffer.from(data, 'hex');
    memory(vm, buffers.address, 6).set(Buffer.from(from, 'hex'));
    memory(vm, buffers.data, bytes.length).set(bytes);
    try {
      handler(kind, rssi, bytes.length);
    } catch (error) { // as the ports do: a handler that raises is reported and switched off
      handler = null;
      report({ type: 'handler', text: error.message });
    }
  };
}
