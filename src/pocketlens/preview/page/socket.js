import { Bridge } from "./bridge.js";

/** Milliseconds before the first, second, ... attempt to connect again. */
const PAUSES = [500, 1000, 2000, 4000, 8000, 15000];

/** Flags of a frame. */
export const STILL = 1;
export const SEEN = 2;

/**
 * @typedef {object} Link How a connection stands.
 * @property {"connecting"|"open"|"waiting"|"closed"} state
 * @property {number} [milliseconds] until the next attempt, while `waiting`.
 * @property {string} [reason] that the server gave.
 */

/**
 * A WebSocket that connects again, after growing pauses, when it is cut.
 *
 * If the very first one does not open, though the page has come, this browser makes none here:
 * from then on the page goes by the bridge.
 */
export class Wire {
  static #Kind = null;
  #address;
  #options;
  #socket = null;
  #timer = 0;
  #failures = 0;

  /**
   * @param {string} path
   * @param {object} options
   * @param {(message: any) => void} options.heard Told each message, parsed.
   * @param {(link: Link) => void} options.changed Told how the connection stands.
   * @param {number[]} [options.final] Close codes after which it stays closed.
   */
  constructor(path, options) {
    this.#address = Object.assign(new URL(path, location.href), {
      protocol: location.protocol === "https:" ? "wss:" : "ws:",
    });
    this.#options = { final: [], ...options };
    this.#connect();
    addEventListener("online", this.#hurry);
    document.addEventListener("visibilitychange", this.#hurry);
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Bytes that have not left yet. */
  get waiting() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** @param {string|Blob|ArrayBuffer} message that is dropped when there is no connection. */
  send(message) {
    if (this.isOpen) this.#socket.send(message);
  }

  /** End it for good. */
  close() {
    removeEventListener("online", this.#hurry);
    document.removeEventListener("visibilitychange", this.#hurry);
    clearTimeout(this.#timer);
    if (this.#socket) this.#socket.onclose = this.#socket.onmessage = this.#socket.onopen = null;
    this.#socket?.close();
    this.#socket = null;
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#options.changed({ state: "connecting" });
    const Kind = Wire.#Kind ?? WebSocket;
    this.#socket = new Kind(this.#address);
    this.#socket.onopen = () => {
      Wire.#Kind ??= Kind;
      this.#options.changed({ state: "open" });
    };
    this.#socket.onmessage = ({ data }) => {
      // Not when it opens: a full server takes the call only to hang up.
      this.#failures = 0;
      this.#options.heard(JSON.parse(data));
    };
    this.#socket.onclose = ({ code, reason }) => {
      Wire.#Kind ??= Bridge;
      this.#lost(code, reason);
    };
  }

  #lost(code, reason) {
    this.#socket = null;
    if (this.#options.final.includes(code)) {
      this.close();
      this.#options.changed({ state: "closed", reason });
      return;
    }
    const milliseconds = PAUSES[Math.min(this.#failures++, PAUSES.length - 1)];
    this.#timer = setTimeout(() => this.#connect(), milliseconds);
    this.#options.changed({ state: "waiting", milliseconds, reason });
  }

  #hurry = () => {
    if (this.#timer && document.visibilityState === "visible") this.#connect();
  };
}

/**
 * @typedef {object} Offer A frame that may be sent.
 * @property {() => Promise<Blob|null>} picture Called when it is its turn; null to send none.
 * @property {number} flags
 * @property {(answer: any, picture: Blob) => void} heard
 */

/** Frames to the model: one in flight, and of those that come meanwhile only the newest. */
export class Live {
  #wire;
  #busy;
  #number = 0;
  /** @type {{number: number, offer: Offer, picture: Blob|null}|null} */
  #flight = null;
  /** @type {Offer|null} */
  #next = null;

  /**
   * @param {(link: Link) => void} changed Told how the connection stands.
   * @param {(busy: boolean) => void} busy Told whether an answer is awaited.
   */
  constructor(changed, busy) {
    this.#busy = busy;
    this.#wire = new Wire("/ws/live", {
      heard: (answer) => this.#heard(answer),
      changed: (link) => {
        if (link.state === "open") this.#go();
        if (link.state === "waiting") this.#lost();
        changed(link);
      },
    });
  }

  /** @param {Offer} offer */
  offer(offer) {
    this.#next = offer;
    this.#busy(true);
    this.#go();
  }

  /** Forget what has not been answered, and on the server the frames before. */
  reset() {
    this.#next = null;
    this.#busy(this.#flight !== null);
    if (this.#flight) this.#flight.offer = { ...this.#flight.offer, heard: () => {} };
    this.#wire.send("reset");
  }

  async #go() {
    if (this.#flight || !this.#next || !this.#wire.isOpen) return;
    const flight = { number: ++this.#number >>> 0, offer: this.#next, picture: null };
    this.#flight = flight;
    this.#next = null;
    try {
      flight.picture = await flight.offer.picture();
    } finally {
      if (this.#flight === flight && !flight.picture) this.#land();
    }
    if (this.#flight !== flight) return;
    const header = new DataView(new ArrayBuffer(5));
    header.setUint8(0, flight.offer.flags);
    header.setUint32(1, flight.number);
    this.#wire.send(new Blob([header, flight.picture]));
  }

  #heard(answer) {
    const flight = this.#flight;
    if (!flight || answer.id !== flight.number) return;
    flight.offer.heard(answer, flight.picture);
    this.#land();
  }

  #land() {
    this.#flight = null;
    this.#busy(this.#next !== null);
    this.#go();
  }

  /** What was under way when the connection was cut is sent again. */
  #lost() {
    this.#next ??= this.#flight?.offer ?? null;
    this.#flight = null;
  }
}
