// Remarks: what stands in the form beside a finding, or below the picture, goes to the page as one event.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-save-note]");
  if (!button) return;
  const form = button.closest("[data-note]"), text = form.querySelector("textarea"), choice = form.querySelector("select");
  const before = choice?.querySelector("option[selected]")?.value;
  const status = choice && choice.value !== before ? choice.value : "";
  if (!text.value.trim() && !status) { text.focus(); return; }
  trigger("note", { evidence: form.dataset.note, status, text: text.value });
  text.value = "";
});
