for (const root of document.querySelectorAll(".symcell:not([data-ready])")) {
  root.dataset.ready = "";
  const said = new Map([...root.querySelectorAll("[data-d]")].map((e) => [e.dataset.d, e]));
  const tip = document.createElement("div");
  let leaving = 0;
  tip.className = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  root.append(tip);
  const hide = () => {
    clearTimeout(leaving);
    tip.hidden = true;
    root.querySelectorAll(".on").forEach((e) => e.classList.remove("on"));
  };
  const show = (at, keys) => {
    hide();
    tip.replaceChildren(...keys.filter((k) => said.has(k)).map((k) => {
      const line = document.createElement("div");
      line.append(...[...said.get(k).childNodes].map((n) => n.cloneNode(true)));
      return line;
    }));
    if (!tip.childNodes.length) return;
    tip.hidden = false;
    const box = at.getBoundingClientRect(), all = root.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = Math.min(Math.max(box.left - all.left, 4), Math.max(all.width - own.width - 4, 4));
    const below = box.bottom + own.height + 10 < innerHeight || box.top < own.height + 10;
    tip.style.left = `${left}px`;
    tip.style.top = `${(below ? box.bottom + 6 : box.top - own.height - 6) - all.top}px`;
  };
  const symbol = (e) => {
    const s = e.target.closest?.("[data-s]");
    return s && root.contains(s) ? s : null;
  };
  const point = (s) => {
    show(s, [s.dataset.s]);
    root.querySelectorAll(`[data-s="${s.dataset.s}"]`).forEach((e) => e.classList.add("on"));
  };
  root.addEventListener("pointerover", (e) => {
    if (e.pointerType === "touch") return;
    const s = symbol(e);
    if (s) point(s);
    else if (tip.contains(e.target)) clearTimeout(leaving);
    else if (!tip.hidden) leaving = setTimeout(hide, 350);
  });
  root.addEventListener("click", (e) => {
    const s = symbol(e);
    if (s) point(s);
    else if (!tip.contains(e.target) || e.target.closest("a")) hide();
  });
  root.addEventListener("focusin", (e) => {
    if (e.target.matches(".f:focus-visible"))
      show(e.target, [...new Set([...e.target.querySelectorAll("[data-s]")].map((s) => s.dataset.s))]);
  });
  root.addEventListener("focusout", (e) => { if (e.target.matches(".f")) hide(); });
  root.addEventListener("keydown", (e) => { if (e.key === "Escape") hide(); });
}
