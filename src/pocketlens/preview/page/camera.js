import { Answers } from "./answer.js";
import { byId } from "./dom.js";
import { SEEN, STILL } from "./socket.js";

/** A frame's longer side is sent no larger, in pixels. */
const LONGEST_SIDE = 640;
const QUALITY = 0.92;

const HINT = "Show it something";

/** What is said of each state, by name or by the name of `getUserMedia`'s error. */
const WORDS = {
  off: "The camera is off.",
  asking: "Allow the camera, where your browser asks.",
  ended: "The camera was taken away. Is it still connected?",
  insecure:
    "Browsers give the camera only to pages on this computer or over HTTPS; start the preview " +
    "with --lan for a phone.",
  NotAllowedError:
    "The camera is not allowed. Allow it with the symbol beside the address, or in the " +
    "system's privacy settings; then start it again.",
  NotFoundError: "There is no camera.",
  NotReadableError: "Another program uses the camera. Close it; then start it again.",
};

/**
 * The part of a picture that the model sees, as shares of its width and height.
 * @param {number} width of the picture.
 * @param {number} height
 * @param {import("./api.js").Input} input
 * @returns {{width: number, height: number}} centered, each in (0, 1].
 */
export function visiblePart(width, height, input) {
  if (input.crop !== "center-crop") return { width: 1, height: 1 };
  const wider = width / height / (input.width / input.height);
  return { width: Math.min(1, 1 / wider), height: Math.min(1, wider) };
}

/**
 * The tab with the camera.
 * @param {import("./main.js").Shared} shared
 * @returns {{enter: () => void, leave: () => void}}
 */
export function camera({ models, live, corrections, announce }) {
  const video = byId("video");
  const tools = byId("camera-tools");
  const answers = new Answers(byId("camera-answers"), models, announce);
  const picker = corrections.picker();
  byId("camera-answers").append(picker.element);
  answers.clear(HINT);

  const grabbed = document.createElement("canvas");
  /** @type {MediaStream|null} */
  let stream = null;
  let choice = { facingMode: "environment" };
  // What the user wants, also while the tab is left; each start has a number, so that an answer to
  // an earlier one is known.
  let wanted = false;
  let active = false;
  let attempt = 0;
  let frozen = false;

  function say(state) {
    byId("camera-words").textContent = WORDS[state] ?? state;
    byId("camera-state").hidden = false;
    byId("camera-start").hidden = state === "asking" || state === "insecure";
  }

  async function start() {
    stop();
    wanted = true;
    if (!navigator.mediaDevices) {
      say("insecure");
      return;
    }
    say("asking");
    const mine = ++attempt;
    let opened;
    try {
      opened = await navigator.mediaDevices.getUserMedia({ video: choice, audio: false });
    } catch (error) {
      if (mine !== attempt) return;
      wanted = false;
      say(error.name in WORDS ? error.name : `The camera cannot be used: ${error.message}`);
      return;
    }
    if (mine !== attempt) {
      for (const track of opened.getTracks()) track.stop();
      return;
    }
    stream = opened;
    await show(stream, mine);
  }

  async function show(opened, mine) {
    const [track] = opened.getVideoTracks();
    track.addEventListener("ended", () => {
      if (mine !== attempt) return;
      wanted = false;
      stop("ended");
    });
    video.srcObject = opened;
    live.reset();
    answers.clear(HINT);
    setFrozen(false);
    setMirror(track.getSettings().facingMode === "user");
    video.hidden = tools.hidden = byId("guide").hidden = false;
    byId("camera-state").hidden = true;
    const devices = await navigator.mediaDevices.enumerateDevices();
    byId("other-camera").hidden = devices.filter((d) => d.kind === "videoinput").length < 2;
    if (mine === attempt) nextFrame(() => watch(mine));
  }

  function stop(state = "off") {
    attempt++;
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = video.srcObject = null;
    video.hidden = tools.hidden = byId("guide").hidden = true;
    live.reset();
    answers.clear(HINT);
    picker.take(null);
    say(state);
  }

  function watch(mine) {
    if (mine !== attempt) return;
    if (!frozen) look(0);
    nextFrame(() => watch(mine));
  }

  function look(flags) {
    const mine = attempt;
    live.offer({
      picture: grab,
      flags: flags | (answers.wantsSeen ? SEEN : 0),
      heard(answer, picture) {
        if (mine !== attempt) return;
        answers.show(answer);
        picker.take(answer.error ? null : picture);
      },
    });
  }

  /** The video's frame as it is now, JPEG; null when there is none. */
  function grab() {
    const { videoWidth: width, videoHeight: height } = video;
    if (!stream || !width) return Promise.resolve(null);
    const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
    grabbed.width = Math.round(width * scale);
    grabbed.height = Math.round(height * scale);
    grabbed.getContext("2d").drawImage(video, 0, 0, grabbed.width, grabbed.height);
    return new Promise((done) => grabbed.toBlob(done, "image/jpeg", QUALITY));
  }

  function nextFrame(then) {
    if (video.requestVideoFrameCallback && !frozen) video.requestVideoFrameCallback(then);
    else requestAnimationFrame(then);
  }

  function setFrozen(value) {
    frozen = value;
    byId("freeze").ariaPressed = String(value);
    if (value) {
      video.pause();
      look(STILL);
    } else {
      live.reset();
      // It rejects when it is stopped before it has begun, which is no fault.
      video.play().catch((error) => {
        if (error.name !== "AbortError") throw error;
      });
    }
  }

  function setMirror(value) {
    byId("mirror").ariaPressed = String(value);
    video.classList.toggle("mirrored", value);
  }

  function switchCamera(devices) {
    const { deviceId, facingMode } = stream.getVideoTracks()[0].getSettings();
    if (facingMode === "user" || facingMode === "environment") {
      choice = { facingMode: facingMode === "user" ? "environment" : "user" };
    } else {
      const cameras = devices.filter(({ kind }) => kind === "videoinput");
      const at = cameras.findIndex((each) => each.deviceId === deviceId);
      choice = { deviceId: { exact: cameras[(at + 1) % cameras.length].deviceId } };
    }
    start();
  }

  function fitGuide() {
    const { videoWidth: width, videoHeight: height } = video;
    if (!width) return;
    const part = visiblePart(width, height, models[0].input);
    byId("guide").style.setProperty("--wide", part.width);
    byId("guide").style.setProperty("--high", part.height);
    byId("finder").style.setProperty("--shape", width / height);
  }

  video.addEventListener("loadedmetadata", fitGuide);
  // A phone that is turned changes the video's size.
  video.addEventListener("resize", fitGuide);
  byId("camera-start").addEventListener("click", start);
  byId("camera-stop").addEventListener("click", () => {
    wanted = false;
    stop();
    byId("camera-start").focus();
  });
  byId("freeze").addEventListener("click", () => setFrozen(!frozen));
  byId("mirror").addEventListener("click", ({ target }) =>
    setMirror(target.ariaPressed !== "true"),
  );
  byId("other-camera").addEventListener("click", async () =>
    switchCamera(await navigator.mediaDevices.enumerateDevices()),
  );
  answers.onSwitch(() => {
    if (frozen) look(STILL);
  });
  document.addEventListener("visibilitychange", () => {
    if (!active || !wanted) return;
    if (document.hidden) stop();
    else start();
  });
  say("off");

  return {
    enter() {
      active = true;
      if (wanted) start();
    },
    leave() {
      active = false;
      stop();
    },
  };
}
