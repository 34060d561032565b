import { request } from "../api.js";

/**
 * @typedef {object} State What the server knows.
 * @property {number} revision
 * @property {string} folder The name of the data folder.
 * @property {string} out The name of the folder with the written files.
 * @property {string} nothing The label of the background class.
 * @property {{name: string, examples: string[]}[]} classes
 * @property {string|null} undo What was done last.
 * @property {{kind: string, step: string, done: number, total: number}|null} job
 * @property {string|null} error Why the last job failed.
 * @property {{classes: string[]}|null} learned
 * @property {boolean} current Whether everything was learned.
 * @property {any} sureness
 * @property {{kind: string, name: string, size: number, checked: string}[]} written
 */

const query = (values) => new URLSearchParams(values).toString();
const change = (path, values, options = {}) =>
  request(`${path}?${query(values)}`, { method: "POST", ...options });

/**
 * Everything that the page shows.
 * @param {boolean} [read] Read the folder again first.
 * @returns {Promise<State>}
 */
export const state = (read = false) => request(`/api/teaching${read ? "?read=1" : ""}`);

export const addClass = (name) => change("/api/classes", { name });
export const renameClass = (name, to) => change("/api/classes", { name, to }, { method: "PATCH" });
export const removeClass = (name) => change("/api/classes", { name }, { method: "DELETE" });

/** A name for the frames of one recording: `{burst}`. */
export const createBurst = () => request("/api/bursts", { method: "POST" });

/**
 * Add an image to a class.
 * @param {string} label
 * @param {Blob} image
 * @param {{burst?: string, drawn?: "1"}} [how]
 * @returns {Promise<{new: boolean}>}
 */
export const addExample = (label, image, how = {}) =>
  change("/api/examples", { label, ...how }, { body: image });

/** The address of the image of an example. */
export const exampleUrl = (label, name, large = false) =>
  `/api/examples?${query({ label, name, ...(large ? { large: "1" } : {}) })}`;

/** @param {[string, string][]} examples Classes and names. */
export const moveExamples = (examples, to) =>
  change("/api/examples/move", { to }, { body: JSON.stringify(examples) });

/** @param {[string, string][]} examples Classes and names. */
export const deleteExamples = (examples) =>
  request("/api/examples/delete", { method: "POST", body: JSON.stringify(examples) });

export const undo = () => request("/api/undo", { method: "POST" });
export const learn = () => request("/api/learn", { method: "POST" });
export const take = () => request("/api/take", { method: "POST" });
