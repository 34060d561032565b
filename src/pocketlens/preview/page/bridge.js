/**
 * A WebSocket over plain HTTP requests, with the part of the interface that the page uses.
 *
 * Safari on an iPhone opens no WebSocket to a server with an unknown certificate, even after the
 * user has accepted the certificate for the page. Plain requests work. See `bridge.py` on the
 * server.
 */
export class Bridge {
  readyState = WebSocket.CONNECTING;
  bufferedAmount = 0;
  onopen = null;
  onmessage = null;
  onclose = null;
  #address;
  #events;
  /** The last request; messages are sent one after the other to keep their order. */
  #last = Promise.resolve();

  /** @param {URL} address of the WebSocket. */
  constructor(address) {
    const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), hexadecimal).join("");
    this.#address = new URL(`/bridge/${key}`, location.href);
    const query = new URLSearchParams({ to: address.pathname + address.search });
    this.#events = new EventSource(`${this.#address}?${query}`);
    this.#events.onopen = () => {
      this.readyState = WebSocket.OPEN;
      this.onopen?.();
    };
    this.#events.onmessage = ({ data }) => this.onmessage?.({ data });
    this.#events.addEventListener("close", ({ data }) => this.#end(JSON.parse(data)));
    this.#events.onerror = () => this.#end({ code: 1006, reason: "" });
  }

  /** @param {string|Blob} message */
  send(message) {
    const size = message.size ?? message.length;
    this.bufferedAmount += size;
    this.#last = this.#last.then(() => this.#post(message, size));
  }

  close() {
    this.readyState = WebSocket.CLOSED;
    this.#events.close();
  }

  async #post(message, size) {
    try {
      const response = await fetch(this.#address, { method: "POST", body: message });
      if (!response.ok) throw new Error(response.statusText);
    } catch {
      this.#end({ code: 1006, reason: "" });
    } finally {
      this.bufferedAmount -= size;
    }
  }

  #end(event) {
    if (this.readyState === WebSocket.CLOSED) return;
    this.close();
    this.onclose?.(event);
  }
}

function hexadecimal(byte) {
  return byte.toString(16).padStart(2, "0");
}
