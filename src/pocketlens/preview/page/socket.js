import { Bridge } from "./bridge.js";

/** Milliseconds before the first, second, ... attempt to reconnect. */
const DELAYS = [500, 1000, 2000, 4000, 8000, 15000];

/**
 * @typedef {object} Connection The state of a connection.
 * @property {"connecting"|"open"|"waiting"|"closed"} state
 * @property {number} [milliseconds] until the next attempt, in the state `waiting`.
 * @property {string} [reason] given by the server.
 */

/**
 * A WebSocket that reconnects after increasing delays.
 *
 * If the very first WebSocket does not open, although the page was loaded, this browser blocks
 * WebSockets to this server; from then on all connections use the bridge.
 */
export class ReconnectingSocket {
  /** The class that is known to work: `WebSocket` or `Bridge`. */
  static #Transport = null;
  #address;
  #options;
  #socket = null;
  #timer = 0;
  #failures = 0;

  /**
   * @param {string} path
   * @param {object} options
   * @param {(message: any) => void} options.onMessage Called with each message, parsed from JSON.
   * @param {(connection: Connection) => void} options.onChange
   * @param {number[]} [options.finalCodes] Close codes after which it does not reconnect.
   */
  constructor(path, options) {
    this.#address = Object.assign(new URL(path, location.href), {
      protocol: location.protocol === "https:" ? "wss:" : "ws:",
    });
    this.#options = { finalCodes: [], ...options };
    this.#connect();
    addEventListener("online", this.#reconnectNow);
    document.addEventListener("visibilitychange", this.#reconnectNow);
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Bytes that are not sent yet. */
  get bufferedAmount() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** @param {string|Blob|ArrayBuffer} message dropped if there is no connection. */
  send(message) {
    if (this.isOpen) this.#socket.send(message);
  }

  /** Close the connection and do not reconnect. */
  close() {
    removeEventListener("online", this.#reconnectNow);
    document.removeEventListener("visibilitychange", this.#reconnectNow);
    clearTimeout(this.#timer);
    if (this.#socket) this.#socket.onclose = this.#socket.onmessage = this.#socket.onopen = null;
    this.#socket?.close();
    this.#socket = null;
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#options.onChange({ state: "connecting" });
    const Transport = ReconnectingSocket.#Transport ?? WebSocket;
    this.#socket = new Transport(this.#address);
    this.#socket.onopen = () => {
      ReconnectingSocket.#Transport ??= Transport;
      this.#options.onChange({ state: "open" });
    };
    this.#socket.onmessage = ({ data }) => {
      // Not in `onopen`: a full server accepts the connection and closes it again.
      this.#failures = 0;
      this.#options.onMessage(JSON.parse(data));
    };
    this.#socket.onclose = ({ code, reason }) => {
      ReconnectingSocket.#Transport ??= Bridge;
      this.#onClose(code, reason);
    };
  }

  #onClose(code, reason) {
    this.#socket = null;
    if (this.#options.finalCodes.includes(code)) {
      this.close();
      this.#options.onChange({ state: "closed", reason });
      return;
    }
    const milliseconds = DELAYS[Math.min(this.#failures++, DELAYS.length - 1)];
    this.#timer = setTimeout(() => this.#connect(), milliseconds);
    this.#options.onChange({ state: "waiting", milliseconds, reason });
  }

  #reconnectNow = () => {
    if (this.#timer && document.visibilityState === "visible") this.#connect();
  };
}

/** @typedef {import("./frames.js").Frame} Frame */

/** Sends frames to the models: one at a time, and of waiting frames only the newest. */
export class Live {
  #socket;
  #onBusy;
  #number = 0;
  /** The frame that waits for its answer.
   * @type {{number: number, frame: Frame, image: Blob|null}|null} */
  #pending = null;
  /** @type {Frame|null} */
  #next = null;

  /**
   * @param {(connection: Connection) => void} onChange
   * @param {(busy: boolean) => void} onBusy Called with whether an answer is awaited.
   */
  constructor(onChange, onBusy) {
    this.#onBusy = onBusy;
    this.#socket = new ReconnectingSocket("/ws/live", {
      onMessage: (answer) => this.#onAnswer(answer),
      onChange: (connection) => {
        if (connection.state === "open") this.#sendNext();
        if (connection.state === "waiting") this.#onDisconnect();
        onChange(connection);
      },
    });
  }

  /** @param {Frame} frame sent as soon as the previous frame is answered. */
  send(frame) {
    this.#next = frame;
    this.#onBusy(true);
    this.#sendNext();
  }

  /** Ignore frames without an answer, and restart the smoothing on the server. */
  reset() {
    this.#next = null;
    this.#onBusy(this.#pending !== null);
    if (this.#pending) this.#pending.frame = { ...this.#pending.frame, onAnswer: () => {} };
    this.#socket.send("reset");
  }

  async #sendNext() {
    if (this.#pending || !this.#next || !this.#socket.isOpen) return;
    const pending = { number: ++this.#number >>> 0, frame: this.#next, image: null };
    this.#pending = pending;
    this.#next = null;
    try {
      pending.image = await pending.frame.getImage();
    } finally {
      if (this.#pending === pending && !pending.image) this.#finish();
    }
    if (this.#pending !== pending) return;
    const header = new DataView(new ArrayBuffer(5));
    header.setUint8(0, pending.frame.flags);
    header.setUint32(1, pending.number);
    this.#socket.send(new Blob([header, pending.image]));
  }

  #onAnswer(answer) {
    const pending = this.#pending;
    if (!pending || answer.id !== pending.number) return;
    pending.frame.onAnswer(answer, pending.image);
    this.#finish();
  }

  #finish() {
    this.#pending = null;
    this.#onBusy(this.#next !== null);
    this.#sendNext();
  }

  /** Send a frame without an answer again after the reconnect. */
  #onDisconnect() {
    this.#next ??= this.#pending?.frame ?? null;
    this.#pending = null;
  }
}
