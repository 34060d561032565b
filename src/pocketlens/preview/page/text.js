/**
 * A text of the page: t`Photo ${name}`. The preview speaks English; the website has a module with
 * this name that translates.
 */
export const t = (strings, ...values) => String.raw({ raw: strings }, ...values);

/** A number with one decimal place. */
export const decimal = (value) => value.toFixed(1);
