// Before anything is drawn: light or dark as the person chose, else as the system has it.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("fieldline-theme"); } catch { /* no storage: the system's */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
