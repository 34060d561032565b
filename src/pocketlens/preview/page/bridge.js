/**
 * A WebSocket over plain requests, with as much of its interface as the page uses.
 *
 * Safari on an iPhone opens no WebSocket to a server whose certificate it does not know, even where
 * its user has gone on to the page; plain requests it makes. See `bridge.py` on the server.
 */
export class Bridge {
  readyState = WebSocket.CONNECTING;
  bufferedAmount = 0;
  onopen = null;
  onmessage = null;
  onclose = null;
  #address;
  #events;
  /** Messages leave one after the other, as they do on a wire. */
  #last = Promise.resolve();

  /** @param {URL} address of the WebSocket. */
  constructor(address) {
    const name = Array.from(crypto.getRandomValues(new Uint8Array(16)), hexadecimal).join("");
    this.#address = new URL(`/bridge/${name}`, location.href);
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
      const answer = await fetch(this.#address, { method: "POST", body: message });
      if (!answer.ok) throw new Error(answer.statusText);
    } catch {
      this.#end({ code: 1006, reason: "" });
    } finally {
      this.bufferedAmount -= size;
    }
  }

  #end(how) {
    if (this.readyState === WebSocket.CLOSED) return;
    this.close();
    this.onclose?.(how);
  }
}

function hexadecimal(byte) {
  return byte.toString(16).padStart(2, "0");
}
