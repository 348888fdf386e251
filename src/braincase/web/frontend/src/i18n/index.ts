/** The page's language: chosen by the reader, else the browser's. */

import { effect, signal } from "@preact/signals";
import { en, type Key, type Words } from "./en";
import { ja } from "./ja";

export type Language = "en" | "ja";
const WORDS: Record<Language, Words> = { en, ja };
const STORED = "braincase.language";

function first(): Language {
  const stored = localStorage.getItem(STORED);
  if (stored === "en" || stored === "ja") return stored;
  return navigator.language.startsWith("ja") ? "ja" : "en";
}

export const language = signal<Language>(first());

effect(() => {
  document.documentElement.lang = language.value;
  localStorage.setItem(STORED, language.value);
});

/** The words for a key in the chosen language, with `{name}` filled in. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return WORDS[language.value][key].replace(/\{(\w+)\}/g, (whole, name: string) =>
    name in values ? String(values[name]) : whole,
  );
}

export const number = (value: number, digits = 0): string =>
  value.toLocaleString(language.value, { minimumFractionDigits: digits, maximumFractionDigits: digits });

export const percent = (share: number, digits = 0): string =>
  share.toLocaleString(language.value, { style: "percent", maximumFractionDigits: digits });
