"use strict";
// Filters: a card is shown where each chosen value is among the words of its data attribute of that name.
const filters = document.querySelector(".filters");
if (filters) {
  const cards = [...document.querySelectorAll(".cases > li")];
  const status = document.querySelector("#shown");
  const apply = () => {
    const wanted = [...filters.querySelectorAll("select")].filter((each) => each.value);
    let count = 0;
    for (const card of cards) {
      const fits = wanted.every((each) => card.dataset[each.name].split("|").includes(each.value));
      card.hidden = !fits;
      count += fits;
    }
    status.textContent = `${count} of ${cards.length} shown`;
  };
  filters.addEventListener("change", apply);
  filters.addEventListener("reset", () => setTimeout(apply));
  filters.addEventListener("submit", (event) => event.preventDefault());
  apply();
}
// Photographs: kept once each in the page, shown in one dialog.
const store = document.querySelector("#photographs");
if (store) {
  const photographs = JSON.parse(store.textContent);
  const dialog = document.querySelector("dialog");
  for (const button of document.querySelectorAll("button[data-photograph]")) {
    button.addEventListener("click", () => {
      const photograph = photographs[button.dataset.photograph];
      dialog.querySelector("h2").textContent = photograph.title;
      dialog.querySelector(".photographs").replaceChildren(
        ...photograph.views.map(({ caption, source }) => {
          const figure = document.createElement("figure");
          const image = document.createElement("img");
          image.src = source;
          image.alt = `${caption}: ${photograph.title}`;
          const text = document.createElement("figcaption");
          text.textContent = caption;
          figure.append(text, image);
          return figure;
        }),
      );
      dialog.showModal();
    });
  }
}
