// FILES and VERSION stand above; `pocketlens web` has written them.
const PREFIX = `pocketlens ${registration.scope} `;
const CACHE = PREFIX + VERSION;

addEventListener("install", (event) => event.waitUntil(store()));
addEventListener("activate", (event) => event.waitUntil(replace()));
addEventListener("fetch", (event) => {
  const path = fileOf(event.request);
  if (path !== null) event.respondWith(answer(path, event.request));
});

/** Load all files, or none: each must have its hash, so versions are never mixed. */
async function store() {
  const cache = await caches.open(CACHE);
  try {
    for (const [path, hash] of Object.entries(FILES)) await cache.put(path, await load(path, hash));
  } catch (error) {
    await caches.delete(CACHE);
    throw error;
  }
}

/**
 * @param {string} path
 * @param {string} hash The SHA-256 of its content.
 * @returns {Promise<Response>}
 */
async function load(path, hash) {
  // A server that compares dates may say that an older copy of the browser is still the same.
  for (const cache of ["no-cache", "reload"]) {
    const response = await fetch(path, { cache });
    if (!response.ok) throw new Error(`${path}: status ${response.status}`);
    const content = await response.arrayBuffer();
    const found = await crypto.subtle.digest("SHA-256", content);
    const digits = Array.from(new Uint8Array(found), (byte) => byte.toString(16).padStart(2, "0"));
    if (digits.join("") !== hash) continue;
    const type = response.headers.get("content-type") ?? "application/octet-stream";
    return new Response(content, { headers: { "content-type": type } });
  }
  throw new Error(`${path} is of another version`);
}

async function replace() {
  const names = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(names.map((name) => caches.delete(name)));
  await clients.claim();
}

/** The site's file that a request is for; null for anything else. */
function fileOf({ method, url }) {
  const address = new URL(url);
  const found = address.origin + address.pathname;
  if (method !== "GET" || !found.startsWith(registration.scope)) return null;
  const path = found.slice(registration.scope.length) || "index.html";
  return Object.hasOwn(FILES, path) ? path : null;
}

async function answer(path, request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(path)) ?? fetch(request);
}
