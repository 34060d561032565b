/**
 * The service worker, which keeps all files of the site: after the first visit the page works
 * offline. All files are of the same version: the browser uses a new one when no page with the old
 * one is open any more.
 */

/**
 * @param {() => void} onNewVersion Called when a new version is there, for the next visit.
 * @returns {Promise<boolean>} whether the page works offline from now on.
 */
export async function keepOffline(onNewVersion) {
  const workers = navigator.serviceWorker;
  if (!workers) return false; // not over HTTPS, or switched off
  let registration;
  try {
    registration = await workers.register("sw.js");
  } catch {
    return false; // the browser stores nothing, for example in a private window
  }
  if (registration.waiting) onNewVersion();
  registration.addEventListener("updatefound", () => {
    const next = registration.installing;
    if (!registration.active) return; // the first version
    next.addEventListener("statechange", () => next.state === "installed" && onNewVersion());
  });
  if (registration.active) return true;
  const first = registration.installing ?? registration.waiting;
  return new Promise((resolve) => {
    first.addEventListener("statechange", () => {
      if (first.state === "activated") resolve(true);
      if (first.state === "redundant") resolve(false); // no space, or a file of another version
    });
  });
}
