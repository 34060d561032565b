import { byId } from "./dom.js";
import { SEEN, STILL } from "./frames.js";
import { Guides } from "./guides.js";
import { Results } from "./results.js";
import { t } from "./text.js";

/** Frames are reduced to this height or width in pixels before they are sent. */
const MAX_SIDE = 640;
/** Of the JPEG frames. */
const QUALITY = 0.92;

const HINT = t`Show something to the camera`;

/** The message for each state; for errors of `getUserMedia`, the state is the error's name. */
const MESSAGES = {
  off: t`The camera is off.`,
  asking: t`Allow camera access in your browser.`,
  ended: t`The camera has stopped. Is it still connected?`,
  insecure: t`Browsers allow the camera only on pages from the same computer or over HTTPS.`,
  NotAllowedError:
    t`Camera access is blocked.` + " " +
    t`Allow it with the icon next to the page's address, or in the system's settings.`,
  NotFoundError: t`No camera found.`,
  NotReadableError: t`Another program is using the camera. Close it and start the camera again.`,
};

/**
 * The tab with the camera.
 * @param {import("./views.js").Shared} shared
 * @returns {{enter: () => void, leave: () => void, image: () => Promise<Blob|null>,
 *   pause: (value: boolean) => void}} `image` is the current frame as a JPEG file; null without one.
 */
export function camera({ models, live, corrections, announceResult }) {
  const video = byId("video");
  const tools = byId("camera-tools");
  const results = new Results(byId("camera-results"), models, announceResult);
  const picker = corrections.picker();
  byId("camera-results").append(picker.element);
  results.clear(HINT);
  const guides = new Guides(models);
  guides.element.hidden = true;
  byId("viewfinder").append(guides.element);

  const canvas = document.createElement("canvas");
  /** @type {MediaStream|null} */
  let stream = null;
  let choice = { facingMode: "environment" };
  // `wanted`: whether the user has started the camera; stays true while another tab is open.
  // `attempt`: the number of the latest start, so that results of earlier starts are ignored.
  let wanted = false;
  let active = false;
  let attempt = 0;
  let frozen = false;
  let paused = false;

  function showOff(state) {
    byId("camera-status").textContent = MESSAGES[state] ?? state;
    byId("camera-help").hidden = state !== "insecure";
    byId("camera-off").hidden = false;
    byId("camera-start").hidden = state === "asking" || state === "insecure";
  }

  async function start() {
    stop();
    wanted = true;
    if (!navigator.mediaDevices) {
      showOff("insecure");
      return;
    }
    showOff("asking");
    const thisAttempt = ++attempt;
    let opened;
    try {
      opened = await navigator.mediaDevices.getUserMedia({ video: choice, audio: false });
    } catch (error) {
      if (thisAttempt !== attempt) return;
      wanted = false;
      showOff(error.name in MESSAGES ? error.name : t`The camera cannot be used: ${error.message}`);
      return;
    }
    if (thisAttempt !== attempt) {
      for (const track of opened.getTracks()) track.stop();
      return;
    }
    stream = opened;
    await show(stream, thisAttempt);
  }

  async function show(opened, thisAttempt) {
    const [track] = opened.getVideoTracks();
    track.addEventListener("ended", () => {
      if (thisAttempt !== attempt) return;
      wanted = false;
      stop("ended");
    });
    video.srcObject = opened;
    live.reset();
    results.clear(HINT);
    setFrozen(false);
    setMirror(track.getSettings().facingMode === "user");
    byId("torch").hidden = !track.getCapabilities?.().torch;
    byId("torch").ariaPressed = "false";
    video.hidden = tools.hidden = guides.element.hidden = false;
    byId("camera-off").hidden = true;
    const devices = await navigator.mediaDevices.enumerateDevices();
    byId("switch-camera").hidden = devices.filter((d) => d.kind === "videoinput").length < 2;
    if (thisAttempt === attempt) nextFrame(() => watch(thisAttempt));
  }

  function stop(state = "off") {
    attempt++;
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = video.srcObject = null;
    video.hidden = tools.hidden = guides.element.hidden = true;
    live.reset();
    results.clear(HINT);
    picker.setImage(null);
    showOff(state);
  }

  function watch(thisAttempt) {
    if (thisAttempt !== attempt) return;
    if (!frozen && !paused) classify(0);
    nextFrame(() => watch(thisAttempt));
  }

  function classify(flags) {
    const thisAttempt = attempt;
    live.send({
      getImage: image,
      getCanvas: grab,
      flags: flags | (results.wantsSeen ? SEEN : 0),
      onAnswer(answer, image) {
        if (thisAttempt !== attempt) return;
        results.show(answer, { image, live: true });
        picker.setImage(answer.error ? null : image);
      },
    });
  }

  async function image() {
    const frame = grab();
    return frame && new Promise((resolve) => frame.toBlob(resolve, "image/jpeg", QUALITY));
  }

  /** The current video frame; null if there is none. */
  function grab() {
    const { videoWidth: width, videoHeight: height } = video;
    if (!stream || !width) return null;
    const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    return canvas;
  }

  function nextFrame(callback) {
    if (video.requestVideoFrameCallback && !frozen) video.requestVideoFrameCallback(callback);
    else requestAnimationFrame(callback);
  }

  function setFrozen(value) {
    frozen = value;
    byId("freeze").ariaPressed = String(value);
    if (value) {
      video.pause();
      classify(STILL);
    } else {
      live.reset();
      // It rejects if the video is stopped before it has started; this is not an error.
      video.play().catch((error) => {
        if (error.name !== "AbortError") throw error;
      });
    }
  }

  function setMirror(value) {
    byId("mirror").ariaPressed = String(value);
    video.classList.toggle("mirrored", value);
  }

  async function setTorch(on) {
    await stream.getVideoTracks()[0].applyConstraints({ advanced: [{ torch: on }] });
    byId("torch").ariaPressed = String(on);
  }

  function switchCamera(devices) {
    const { deviceId, facingMode } = stream.getVideoTracks()[0].getSettings();
    if (facingMode === "user" || facingMode === "environment") {
      choice = { facingMode: facingMode === "user" ? "environment" : "user" };
    } else {
      const cameras = devices.filter(({ kind }) => kind === "videoinput");
      const index = cameras.findIndex((each) => each.deviceId === deviceId);
      choice = { deviceId: { exact: cameras[(index + 1) % cameras.length].deviceId } };
    }
    start();
  }

  function fitGuides() {
    const { videoWidth: width, videoHeight: height } = video;
    if (!width) return;
    guides.fit(width, height);
    byId("viewfinder").style.setProperty("--aspect-ratio", width / height);
  }

  video.addEventListener("loadedmetadata", fitGuides);
  // The video's size changes when a phone is rotated.
  video.addEventListener("resize", fitGuides);
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
  byId("torch").addEventListener("click", ({ target }) => setTorch(target.ariaPressed !== "true"));
  byId("switch-camera").addEventListener("click", async () =>
    switchCamera(await navigator.mediaDevices.enumerateDevices()),
  );
  results.onSwitch(() => {
    if (frozen) classify(STILL);
  });
  document.addEventListener("visibilitychange", () => {
    if (!active || !wanted) return;
    if (document.hidden) stop();
    else start();
  });
  showOff("off");

  return {
    enter() {
      active = true;
      if (wanted) start();
    },
    leave() {
      active = false;
      stop();
    },
    image,
    pause(value) {
      paused = value;
    },
  };
}
