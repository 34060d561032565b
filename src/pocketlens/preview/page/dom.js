/**
 * Find an element of the page.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element #${id}`);
  return element;
}

/**
 * Create an element.
 * @param {string} tag
 * @param {object} properties of the element, such as `className`.
 * @param {...(Node|string)} children
 * @returns {any}
 */
export function create(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/**
 * Show a message in a notice, or hide the notice.
 * @param {HTMLElement} notice
 * @param {string|null} text
 */
export function showNotice(notice, text) {
  notice.hidden = !text;
  notice.textContent = text ?? "";
}
