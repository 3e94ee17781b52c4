// Files that exist in the page's session only: fetched through the component, checked, handed to the browser.
element.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-file]");
  if (!button) return;
  const said = element.querySelector(".fx-made");
  try {
    const made = await server.file({ id: button.closest("[data-kept]").dataset.kept, index: Number(button.dataset.file) });
    const bytes = Uint8Array.from(atob(made.data), (c) => c.charCodeAt(0));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: made.media_type }));
    link.download = made.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    if (said) said.textContent = `${made.name}, sha256 ${made.sha256}`;
  } catch (error) {
    if (said) said.textContent = "This file cannot be had any more; do it again.";
  }
});
