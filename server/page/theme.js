// The theme: as the system, or light, or dark as chosen. A plain script: it must not wait.
"use strict";

(() => {
  const ORDER = ["auto", "light", "dark"];
  const WORDS = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };
  const STORED_AS = "anymal-theme";

  let theme = remembered();
  apply();

  // A browser may keep a page from storing anything; the choice then lasts as long as the page.
  function remembered() {
    try {
      const stored = localStorage.getItem(STORED_AS);
      return ORDER.includes(stored) ? stored : "auto";
    } catch {
      return "auto";
    }
  }

  function remember() {
    try {
      localStorage.setItem(STORED_AS, theme);
    } catch {
      console.info("this browser does not let the page remember its theme");
    }
  }

  function apply() {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    document.dispatchEvent(new Event("themechange"));
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => {
      button.setAttribute("aria-label", WORDS[theme]);
      button.title = WORDS[theme];
      button.querySelector("use").setAttribute("href", `#i-${theme}`);
    };
    button.addEventListener("click", () => {
      theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
      remember();
      apply();
      show();
    });
    show();
  });
})();
