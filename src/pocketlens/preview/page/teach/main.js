import * as models from "../api.js";
import { camera } from "../camera.js";
import { showBusy, showConnection } from "../connection.js";
import { byId, create, showNotice } from "../dom.js";
import { draw } from "../draw.js";
import { acceptDrops } from "../photo.js";
import { Live, ReconnectingSocket } from "../socket.js";
import { announceStatus, showViews } from "../views.js";
import * as api from "./api.js";
import { ClassCard } from "./card.js";
import { Recorder } from "./recorder.js";
import { showSureness } from "./sureness.js";
import { showWritten } from "./taking.js";

/** Below this rate, the page says that the computer is slow. */
const SLOW = 8;

/** No corrections on this page: wrong answers become examples. */
const NO_CORRECTIONS = {
  picker: () => ({ element: create("span", { hidden: true }), setImage() {} }),
};

/** @type {api.State|null} */
let state = null;
/** @type {Map<string, ClassCard>} */
const cards = new Map();
let mode = "camera";
const views = {};
/** @type {Promise<void>|null} */
let refreshing = null;
let again = false;
/** Whether the last answer is missing; the error of a change stays until the next change. */
let lost = false;

/** Ask the server for the state and show it; ends when it shows what was there at the call. */
function refresh() {
  again = true;
  refreshing ??= refreshAll().finally(() => (refreshing = null));
  return refreshing;
}

async function refreshAll() {
  while (again) {
    again = false;
    try {
      show(await api.state());
      if (lost) showNotice(byId("error"), null);
      lost = false;
    } catch (error) {
      lost = true;
      showNotice(byId("error"), error.message);
    }
  }
}

/**
 * Change something on the server.
 * @param {() => Promise<any>} work
 * @param {string} done What to tell a screen reader.
 * @returns {Promise<boolean>} Whether it worked.
 */
async function change(work, done) {
  try {
    await work();
  } catch (error) {
    showNotice(byId("error"), error.message);
    byId("error").scrollIntoView({ block: "nearest" });
    return false;
  }
  showNotice(byId("error"), null);
  announceStatus(done);
  await refresh();
  return true;
}

const recorder = new Recorder(
  () => views.camera.image(),
  ({ label, recorded, skipped, rate, active, error }) => {
    views.camera.pause(active);
    const slow = active && recorded > SLOW && rate < SLOW;
    const left = skipped ? `, ${skipped} skipped because the computer is busy` : "";
    const speed = active && rate ? ` · ${rate.toFixed(0)} per second` : "";
    const text = recorded ? `${recorded} recorded${speed}${slow || !active ? left : ""}` : "";
    cards.get(label)?.showStatus(text, { error, recording: active });
  },
);

/** @type {import("./card.js").Actions} */
const actions = {
  record(label) {
    views.camera.pause(true);
    cards.get(label).showStatus("", { recording: true });
    recorder.start(label);
  },
  stop: () => recorder.stop(),
  recording: () => recorder.label,
  async addDrawing(label) {
    const image = await views.draw.image();
    if (!image) {
      cards.get(label).showStatus("", { error: "Draw something first." });
      return;
    }
    const work = () => api.addExample(label, image, { drawn: "1" });
    if (await change(work, `Drawing added to ${label}`)) {
      cards.get(label)?.showStatus("");
      views.draw.clear();
    }
  },
  async addFiles(label, files) {
    const errors = [];
    let added = 0;
    for (const file of files) {
      cards.get(label)?.showStatus(`Adding ${file.name}, ${added + errors.length + 1} of ${files.length}`);
      try {
        await api.addExample(label, file);
        added++;
      } catch ({ message }) {
        errors.push(`${file.name}: ${message}`);
      }
    }
    const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : "";
    const error = errors.length ? `${errors[0]}${more}` : null;
    cards.get(label)?.showStatus(`${added} added`, { error });
    announceStatus(`${added} photos added to ${label}`);
  },
  others: (label) => state.classes.map(({ name }) => name).filter((name) => name !== label),
  change,
};

/** @param {api.State} now */
function show(now) {
  state = now;
  byId("title").textContent = now.folder;
  document.title = `${now.folder} · Teach`;
  showClasses();
  byId("undo-bar").hidden = !now.undo;
  byId("undo-text").textContent = now.undo ? `Last change: ${now.undo}` : "";
  showWork();
  byId("teach").dataset.learned = String(Boolean(now.learned));
  showSureness(now.sureness, change);
  showWritten(now);
}

function showClasses() {
  const list = byId("classes");
  for (const [name, card] of cards) {
    if (state.classes.some((each) => each.name === name)) continue;
    card.element.remove();
    cards.delete(name);
  }
  state.classes.forEach(({ name, examples }, index) => {
    if (!cards.has(name)) {
      cards.set(name, new ClassCard(name, actions));
      cards.get(name).setMode(mode);
    }
    const { element } = cards.get(name);
    const there = list.children[index];
    if (there !== element) list.insertBefore(element, there ?? null);
    cards.get(name).update(examples);
  });
  const names = state.classes.map(({ name }) => name);
  byId("suggest-nothing").hidden = names.length < 2 || names.includes(state.nothing);
}

const JOBS = { preparing: "Getting ready", learning: "Learning", writing: "Making the files" };

/** What the computer works at, and whether everything was learned. */
function showWork() {
  const { job, learned, current, classes } = state;
  const known = classes.filter(({ name, examples }) => name !== state.nothing && examples.length);
  let text;
  if (job) {
    const count = job.total ? `, ${job.done} of ${job.total}` : "";
    text = `${job.step || JOBS[job.kind]}${count} …`;
  } else if (known.length < 2) {
    text = "Add examples of at least two classes.";
  } else if (!learned) {
    text = "Ready to train.";
  } else {
    text = current ? "It has learned all examples. Try it." : "Examples have changed. Train again.";
  }
  if (byId("train-status").textContent !== text) byId("train-status").textContent = text;
  byId("train").disabled = Boolean(job) || known.length < 2;
  byId("take").disabled = Boolean(job);
  const progress = byId("progress");
  progress.hidden = !job;
  if (job?.total) Object.assign(progress, { max: job.total, value: job.done });
  else progress.removeAttribute("value");
  showNotice(byId("work-error"), state.error);
}

/** Keep a view, and show the buttons that add its images while it is open. */
function remember(name, view) {
  views[name] = view;
  return {
    ...view,
    enter() {
      mode = name;
      for (const card of cards.values()) card.setMode(name);
      view.enter();
    },
  };
}

async function main() {
  let description;
  try {
    description = await models.model();
    show(await api.state(true));
  } catch (error) {
    showNotice(byId("error"), error.message);
    return;
  }
  const live = new Live(showConnection, showBusy);
  new ReconnectingSocket("/ws/events", { onMessage: refresh, onChange() {} });
  showViews(
    {
      camera: (shared) => remember("camera", camera(shared)),
      draw: (shared) => remember("draw", draw(shared)),
    },
    { models: description.models, live, corrections: NO_CORRECTIONS },
    { first: location.hash === "#draw" ? "draw" : "camera" },
  );
  new IntersectionObserver(([{ isIntersecting }]) => {
    byId("teach").classList.toggle("showing", isIntersecting);
  }).observe(byId("classes"));
  byId("new-class").addEventListener("submit", async (event) => {
    event.preventDefault();
    const input = byId("new-name");
    let added;
    if (await change(async () => (added = await api.addClass(input.value)), `Added ${input.value}`)) {
      input.value = "";
      cards.get(added.name)?.focus();
    } else {
      input.focus();
    }
  });
  byId("add-nothing").addEventListener("click", async () => {
    if (await change(() => api.addClass(state.nothing), `Added ${state.nothing}`)) {
      cards.get(state.nothing)?.focus();
    }
  });
  byId("undo-change").addEventListener("click", async () => {
    if (await change(api.undo, "Undone")) byId("classes-title").focus();
  });
  byId("train").addEventListener("click", () => change(api.learn, "Learning"));
  byId("take").addEventListener("click", () => change(api.take, "Making the files"));
  acceptDrops((files, target) => {
    const card = target.closest?.(".class");
    if (card) actions.addFiles(card.dataset.name, files);
    else showNotice(byId("error"), "Drop the photos on a class.");
  });
}

main();
