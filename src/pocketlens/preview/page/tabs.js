/**
 * Tabs as https://www.w3.org/WAI/ARIA/apg/patterns/tabs/ has them: arrow keys, Home and End.
 * @param {HTMLElement} list with role `tablist`.
 * @param {(name: string) => void} chosen Told the id of the panel that is shown now.
 * @returns {(name: string) => void} Shows a panel.
 */
export function tabs(list, chosen) {
  const all = [...list.querySelectorAll("[role=tab]")];
  const nameOf = (tab) => tab.getAttribute("aria-controls");

  function choose(name) {
    for (const tab of all) {
      const selected = nameOf(tab) === name;
      tab.ariaSelected = String(selected);
      tab.tabIndex = selected ? 0 : -1;
      document.getElementById(nameOf(tab)).hidden = !selected;
    }
    chosen(name);
  }

  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) choose(nameOf(tab));
  });
  list.addEventListener("keydown", (event) => {
    const at = all.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const tab = all[(to + all.length) % all.length];
    tab.focus();
    choose(nameOf(tab));
  });
  return choose;
}
