import { LANGUAGES } from "./languages.js";

const language = navigator.languages
  .map((each) => each.slice(0, 2).toLowerCase())
  .find((each) => each === "en" || Object.hasOwn(LANGUAGES, each));

/** The translation of each English text; {0}, {1}, ... stand for what is put in. */
const texts = LANGUAGES[language] ?? {};

/** A text of the page in the user's language: t`Photo ${name}`. */
export function t(strings, ...values) {
  const key = strings.reduce((text, part, i) => `${text}{${i - 1}}${part}`);
  return translated(key).replace(/\{(\d)\}/g, (_, i) => values[i]);
}

const numbers = new Intl.NumberFormat(language ?? "en", {
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
  useGrouping: false,
});

/** A number with one decimal place, as in the user's language. */
export const decimal = (value) => numbers.format(value);

/** Translate the texts and labels that stand in the page itself. */
export function translatePage() {
  document.documentElement.lang = language ?? "en";
  const all = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (all.nextNode()) {
    const { data } = all.currentNode;
    const [, before, text, after] = /^(\s*)(.*?)(\s*)$/s.exec(data);
    if (text) all.currentNode.data = before + translated(text.replace(/\s+/g, " ")) + after;
  }
  for (const element of document.querySelectorAll("[aria-label]")) {
    element.ariaLabel = translated(element.ariaLabel);
  }
}

function translated(text) {
  return Object.hasOwn(texts, text) ? texts[text] : text;
}
