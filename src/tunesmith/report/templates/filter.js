const bar = document.querySelector(".filter"), find = document.getElementById("find");
const group = document.getElementById("group"), left = document.getElementById("left");
const items = [...document.querySelectorAll("article.item")];
function filter() {
  const wanted = find.value.trim().toLowerCase();
  for (const item of items)
    item.hidden = (group.value && item.dataset.group !== group.value) || !item.textContent.toLowerCase().includes(wanted);
  for (const title of document.querySelectorAll("h3[data-group]"))
    title.hidden = items.every(item => item.hidden || item.dataset.group !== title.dataset.group);
  left.textContent = items.filter(item => !item.hidden).length + " of " + items.length + " shown";
}
find.addEventListener("input", filter);
group.addEventListener("change", filter);
bar.hidden = false;
filter();
