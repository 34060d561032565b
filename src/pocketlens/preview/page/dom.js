/**
 * An element of the page.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/**
 * Make an element.
 * @param {string} tag
 * @param {object} properties of the element, such as `className`.
 * @param {...(Node|string)} children
 * @returns {any}
 */
export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/**
 * Show a message in a notice, or take the notice away.
 * @param {HTMLElement} notice
 * @param {string|null} words
 */
export function notify(notice, words) {
  notice.hidden = !words;
  notice.textContent = words ?? "";
}
