/**
 * Tabs by the pattern of https://www.w3.org/WAI/ARIA/apg/patterns/tabs/: arrow keys, Home and End.
 * @param {HTMLElement} list with role `tablist`.
 * @param {(name: string) => void} onShow Called with the id of the panel that is now shown.
 * @returns {(name: string) => void} Shows a panel.
 */
export function tabs(list, onShow) {
  const all = [...list.querySelectorAll("[role=tab]")];
  const panelOf = (tab) => tab.getAttribute("aria-controls");

  function show(name) {
    for (const tab of all) {
      const selected = panelOf(tab) === name;
      tab.ariaSelected = String(selected);
      tab.tabIndex = selected ? 0 : -1;
      document.getElementById(panelOf(tab)).hidden = !selected;
    }
    onShow(name);
  }

  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) show(panelOf(tab));
  });
  list.addEventListener("keydown", (event) => {
    const from = all.indexOf(document.activeElement);
    const to = { ArrowRight: from + 1, ArrowLeft: from - 1, Home: 0, End: all.length - 1 }[
      event.key
    ];
    if (from < 0 || to === undefined) return;
    event.preventDefault();
    const tab = all[(to + all.length) % all.length];
    tab.focus();
    show(panelOf(tab));
  });
  return show;
}
